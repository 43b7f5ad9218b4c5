from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.search import ArchitectureRandomSampler, RegularizedEvolutionSampler, distributions
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.search.tried import Tried
from nasrec_automl.space import SearchSpace

SAMPLERS: dict[str, Callable[[SearchSpace], BaseSampler]] = {
    "evolution": lambda space: RegularizedEvolutionSampler(
        space=space, population_size=4, tournament_size=4, children=2
    ),
    "random": ArchitectureRandomSampler,
}


@pytest.fixture(params=SAMPLERS)
def study(request: pytest.FixtureRequest, tiny: SearchSpace) -> optuna.Study:
    return optuna.create_study(sampler=SAMPLERS[request.param](tiny))


def suggest(trial: optuna.Trial, space: SearchSpace) -> str:
    wanted = distributions(space)
    return space.from_params({name: trial.suggest_categorical(name, wanted[name].choices) for name in wanted}).key


def test_optimize_tries_every_architecture_once_and_then_repeats(study: optuna.Study, tiny: SearchSpace) -> None:
    keys: list[str] = []

    def objective(trial: optuna.Trial) -> float:
        keys.append(suggest(trial, tiny))
        return len(keys)

    study.optimize(objective, n_trials=20)
    assert len(set(keys[:16])) == len(set(keys)) == 16


def test_a_trial_that_runs_is_not_repeated_but_one_that_failed_may_be(study: optuna.Study, tiny: SearchSpace) -> None:
    running = [study.ask(dict(distributions(tiny))) for _ in range(16)]
    assert len({tiny.from_params(trial.params).key for trial in running}) == 16
    study.tell(running[3], state=TrialState.FAIL)
    again = study.ask(dict(distributions(tiny)))
    assert tiny.from_params(again.params).key == tiny.from_params(running[3].params).key


def test_with_further_parameters_an_architecture_may_be_tried_again(study: optuna.Study, tiny: SearchSpace) -> None:
    while len(known := study.get_trials()) < 15:
        study.tell(study.ask(dict(distributions(tiny))), float(len(known)))
    keys = {tiny.from_params(trial.params).key for trial in known}
    assert len(keys) == 15
    study.tell(study.ask({**distributions(tiny), "rate": FloatDistribution(0.1, 1)}), 16.0)
    found = [tiny.from_params(study.ask(dict(distributions(tiny))).params).key for _ in range(4)]
    assert found[0] in keys


def test_a_finished_trials_key_is_computed_once(tiny: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(sampler=ArchitectureRandomSampler(tiny))
    study.optimize(lambda trial: float(len(suggest(trial, tiny))), n_trials=5)
    computed: list[dict[str, Any]] = []

    def compute(params: dict[str, Any], space: SearchSpace) -> Architecture | None:
        computed.append(params)
        return architecture_of(params, space)

    monkeypatch.setattr("nasrec_automl.search.tried.architecture_of", compute)
    tried = Tried(tiny)
    trial = optuna.create_trial(state=TrialState.RUNNING)
    trial.number = 5
    for _ in range(3):
        assert len(tried.keys(study, trial)) == 5
    assert len(computed) == 5
