"""Budgets through NNI's own means: profilers, filters of samples, the middleware that filters models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nni
import numpy as np
import optuna
import pytest
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.experiment.config import SequentialEngineConfig, SimplifiedModelFormatConfig
from nni.nas.strategy import Random, RegularizedEvolution
from nni.nas.strategy.middleware import Chain, Filter

from nasrec_automl.budget import Budget
from nasrec_automl.cost import profile
from nasrec_automl.errors import BudgetError, JobError
from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace, OptunaEvolution, budget_filter, evolution
from nasrec_automl.nni_plugin.filters import budget_of, make_filter
from nasrec_automl.nni_plugin.nas import (
    FlopsProfiler,
    NasExperiment,
    NasExperimentConfig,
    NumParamsProfiler,
    RangeProfilerFilter,
    RawFormatModelSpace,
)
from nasrec_automl.testing.examples import make_batch, tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import make_evaluator, run_experiment

SPACE, SCHEMA = tiny_space(), tiny_schema()
COSTS = [profile(SPACE.random(np.random.default_rng(seed)), SCHEMA) for seed in range(200)]
MACS = sorted(cost.macs for cost in COSTS)[60]
PARAMETERS = sorted(cost.parameters for cost in COSTS)[60]


def range_filter(name: str) -> RangeProfilerFilter:
    dense, ids = make_batch(SCHEMA, 2)
    kind, limit = (FlopsProfiler, MACS) if name == "macs" else (NumParamsProfiler, PARAMETERS)
    return RangeProfilerFilter(kind(NasRecSpace(SPACE, SCHEMA), (dense.float(), ids)), max=limit)


FILTERS = {
    "macs": lambda: range_filter("macs"),
    "parameters": lambda: range_filter("parameters"),
    "budget": lambda: budget_filter(Budget(SCHEMA, macs=MACS), SPACE),
}


def inside(params: Any, name: str) -> bool:
    cost = profile(SPACE.from_params(params), SCHEMA)
    return cost.parameters <= PARAMETERS if name == "parameters" else cost.macs <= MACS


@pytest.mark.parametrize("strategy", [Random, RegularizedEvolution])
@pytest.mark.parametrize("name", FILTERS)
def test_nnis_strategies_run_models_inside_alone(name: str, strategy: Any, tmp_path: Path) -> None:
    ran: list[Any] = []

    def evaluate(model: Any) -> None:
        architecture = model.network.architecture
        ran.append(architecture.params)
        nni.report_final_result(float(profile(architecture, SCHEMA).macs))  # the more the better: the filter holds

    accepts = FILTERS[name]()
    options = {"population_size": 4, "sample_size": 4} if strategy is RegularizedEvolution else {}
    chain = Chain(strategy(seed=0, **options), Filter(lambda model: accepts(model.sample)))
    space = NasRecSpace(SPACE, SCHEMA)
    evaluator = FunctionalEvaluator(evaluate)
    config = NasExperimentConfig.default(space, evaluator, chain)
    config.execution_engine = SequentialEngineConfig()
    config.model_format = SimplifiedModelFormatConfig()
    config.experiment_working_directory = tmp_path
    config.max_trial_number = 12
    experiment = NasExperiment(space, evaluator, chain, config)
    try:
        experiment.run()
    finally:
        experiment.stop()
    assert len(ran) == 12
    assert all(inside(params, name) for params in ran)
    (best,) = experiment.export_top_models(1, formatter="dict")
    assert inside(best, name)


@pytest.mark.parametrize(
    "given",
    [
        lambda: Budget(SCHEMA, macs=MACS),
        lambda: range_filter("macs"),
        lambda: {"profiler": range_filter("macs").profiler, "max": MACS},
        lambda: budget_filter(Budget(SCHEMA, macs=MACS), SPACE),
    ],
)
def test_whatever_says_it_a_filter_is_the_same_budget(given: Any) -> None:
    budget = budget_of(make_filter(given()), SCHEMA, layer_norm=True)
    assert budget is not None
    drawn = [SPACE.random(np.random.default_rng(seed)) for seed in range(60)]
    admitted = [budget.admits(architecture) for architecture in drawn]
    assert admitted == [profile(architecture, SCHEMA).macs <= MACS for architecture in drawn]
    assert 0 < sum(admitted) < 60
    assert budget_of(None, SCHEMA, layer_norm=True) is None


@pytest.mark.parametrize(
    ("given", "error"), [({"max": MACS}, TypeError), ({"profiler": None}, ValueError), (MACS, JobError)]
)
def test_what_is_no_filter_is_refused_before_anything_is_trained(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        NasRecOneShot(filter=given)
    with pytest.raises(error):
        OptunaEvolution(storage="sqlite://", filter=given)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_filters_costs_are_those_of_the_models_layer_norm(
    layer_norm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, asked = SPACE.random(np.random.default_rng(0)), []
    expected = {"parameters": profile(architecture, SCHEMA, layer_norm=layer_norm).parameters}
    budget = budget_of(lambda sample: True, SCHEMA, layer_norm=layer_norm)
    assert budget is not None
    assert budget.costs(architecture).items() >= expected.items()
    monkeypatch.setattr(evolution, "budget_of", lambda *given, **options: asked.append(options))
    space = NasRecSpace(SPACE, SCHEMA, layer_norm=layer_norm)
    for model in (NasRecOneShot().mutate_model(space), NasRecSpace(SPACE, SCHEMA, layer_norm=layer_norm)):
        storage = f"sqlite:///{tmp_path / f'{len(asked)}.db'}"
        strategy = OptunaEvolution(storage=storage, filter=lambda sample: True)
        strategy._initialize(RawFormatModelSpace(model, None), Mock())
    assert asked == [{"layer_norm": layer_norm}] * 2


def test_the_one_shot_strategy_trains_everything_and_exports_what_is_inside(tmp_path: Path) -> None:
    def run(given: Any, name: str) -> tuple[NasRecOneShot, Any]:
        strategy = NasRecOneShot(seed=3, export_candidates=12, filter=given)
        return strategy, run_experiment(NasRecSpace(SPACE, SCHEMA), make_evaluator(), strategy, tmp_path / name)

    (strategy, experiment), (plain, _) = run(range_filter("macs"), "filtered"), run(None, "plain")
    samples = experiment.export_top_models(6, formatter="dict")
    assert len(samples) == 6
    assert all(inside(sample, "macs") for sample in samples)
    assert not all(inside(model.sample, "macs") for model in plain.list_models(limit=12))
    weights, others = (s.supernet.network.supernet.state_dict() for s in (strategy, plain))
    assert all(bool((weights[name] == others[name]).all()) for name in weights)
    assert "filter=" in repr(strategy)
    assert "filter=" not in repr(plain)


@pytest.fixture(scope="module")
def runs() -> Any:
    spec = importlib.util.spec_from_file_location("evolution_run", Path(__file__).with_name("evolution_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["budget", "filter"])
def test_optuna_evolution_proposes_what_is_inside(tmp_path: Path, runs: Any, kind: str) -> None:
    def evaluate(model: Any) -> None:
        nni.report_final_result(float(profile(model.architecture, SCHEMA).macs))

    given = Budget(SCHEMA, macs=MACS) if kind == "budget" else range_filter("macs")
    first = [SPACE.random(np.random.default_rng(seed)) for seed in range(6)]
    experiment = runs.make_experiment(
        tmp_path, lambda model: evaluate(model.network), filter=given, trials=24, first=first
    )
    try:
        experiment.run()
    finally:
        experiment.stop()
    trials = optuna.load_study(study_name="nasrec-nni", storage=f"sqlite:///{tmp_path / 'studies.db'}").get_trials()
    assert len(trials) == 24
    assert all(inside(trial.params, "macs") for trial in trials)
    admitted = [architecture.key for architecture in first if inside(architecture.params, "macs")]
    assert [trial.user_attrs["nasrec:key"] for trial in trials][: len(admitted)] == admitted
    assert all(inside(sample, "macs") for sample in experiment.export_top_models(4, formatter="dict"))


def test_a_filter_that_refuses_everything_is_an_error(tmp_path: Path, runs: Any) -> None:
    experiment = runs.make_experiment(tmp_path, lambda model: None, filter=lambda sample: False)
    try:
        with pytest.raises(BudgetError, match="of the space 'tiny' was found that the filter accepts: loosen"):
            experiment.run()
    finally:
        experiment.stop()
