from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import StudyError
from nasrec_automl.search import RegularizedEvolutionSampler, distributions
from nasrec_automl.space import SearchSpace, load_search_space, split_sources


class TestOptunasContract(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """Without a space the sampler supports everything that Optuna asks of a sampler of one objective.

    `MultiObjectiveSamplerTestCase` is the opposite of `SingleOnlySamplerTestCase`: a tournament needs an order.
    """

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: RegularizedEvolutionSampler(population_size=4, tournament_size=2, children=2)


class TestOptunasContractWithASpace(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    """With a space, parameters beside its labels are sampled too, each by itself.

    `RelativeSamplerTestCase` hands other parameters to `sample_relative` than `infer_relative_search_space`
    returned, which Optuna never does: a space's labels are all that is sampled at once.
    """

    @pytest.fixture
    def sampler(self, tiny: SearchSpace) -> Callable[[], BaseSampler]:
        return lambda: RegularizedEvolutionSampler(space=tiny, population_size=4, tournament_size=2, children=2)


def small(space: SearchSpace | None, seed: int = 0) -> RegularizedEvolutionSampler:
    return RegularizedEvolutionSampler(
        space=space, population_size=8, tournament_size=4, children=4, generations=10, seed=seed
    )


def add(study: optuna.Study, architecture: Architecture, value: float) -> None:
    study.add_trial(
        optuna.create_trial(params=architecture.params, distributions=distributions(architecture.space), value=value)
    )


def random_study(space: SearchSpace, count: int) -> optuna.Study:
    study = optuna.create_study()
    rng = np.random.default_rng(1)
    for _ in range(count):
        add(study, space.random(rng), rng.random())
    return study


def propose(study: optuna.Study, sampler: RegularizedEvolutionSampler, seen: set[str]) -> Architecture:
    found = sampler.propose(study, seen=seen)
    assert found is not None
    return found


def test_the_random_start_draws_the_number_of_inputs_uniformly() -> None:
    space = load_search_space("nasrec-small")
    study = optuna.create_study()
    sizes = [
        len(split_sources(str(propose(study, small(space, seed), set()).params["block7/dense_inputs"])))
        for seed in range(400)
    ]
    # Half of them are 1 or 4; by the supernet's own distribution it would be a quarter.
    assert 0.42 < np.mean([size in (1, 4) for size in sizes]) < 0.58


def test_a_child_is_its_parent_but_for_one_mutation() -> None:
    space = load_search_space("nasrec-full")
    study = random_study(space, 8)
    best = min(study.get_trials(), key=lambda trial: trial.values[0]).params
    sampler = RegularizedEvolutionSampler(space=space, population_size=8, tournament_size=8, children=4, generations=10)
    for seen in range(5):
        child = propose(study, sampler, set())
        different = {label for label in best if child.params[label] != best[label]}
        assert len(different) <= 2  # The two operators of a block are one mutation.
        add(study, child, 9.0 + seen) if seen < 3 else None


def test_equal_studies_and_seeds_give_equal_proposals(space: SearchSpace) -> None:
    study = random_study(space, 8)
    first = propose(study, small(space), set())
    assert propose(study, small(space), set()) == first
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))  # Numbers shift; proposals do not.
    assert propose(study, small(space), set()) == first
    others = {propose(study, small(space, seed), set()).key for seed in range(1, 9)}
    assert len(others) > 1


def test_a_trial_that_runs_gets_another_proposal_than_the_next(space: SearchSpace) -> None:
    study = random_study(space, 2)
    first = propose(study, small(space), set())
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    assert propose(study, small(space), set()) != first


def test_proposals_are_new_until_the_space_is_used_up(tiny: SearchSpace) -> None:
    study = random_study(tiny, 8)
    seen: set[str] = set()
    while (found := small(tiny).propose(study, seen=seen)) is not None:
        assert found.key not in seen
        seen.add(found.key)
    assert len(seen) == 16


def test_ask_and_tell_samples_every_label_at_once(space: SearchSpace) -> None:
    study = optuna.create_study(sampler=small(space))
    wanted = dict(distributions(space))
    for _ in range(20):
        trial = study.ask(wanted)
        assert space.from_params(trial.params).params == trial.params
        study.tell(trial, 0.0)
    assert len({str(trial.params) for trial in study.get_trials()}) > 10


def test_labels_with_a_prefix_are_said_once_to_be_drawn_at_random(
    space: SearchSpace, caplog: pytest.LogCaptureFixture
) -> None:
    label, choices = next(iter(distributions(space).items()))
    for prefix, said in (("", 0), ("arch/", 1)):
        caplog.clear()
        study = optuna.create_study(sampler=small(space))
        for _ in range(3):
            study.tell(study.ask({prefix + label: choices, "rate": optuna.distributions.FloatDistribution(0, 1)}), 0.0)
        assert caplog.text.count(f"to evolve it, name it {label!r}") == said


def mixed(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -2, 2)
    y = trial.suggest_int("y", 1, 100, log=True)
    return x**2 + y + trial.suggest_categorical("z", [0, 1, 2])


def test_a_sampler_serves_several_studies(storage: RDBStorage) -> None:
    sampler = small(None)
    for home, name in itertools.product((storage, None), ("x", "y")):  # in memory all studies have one id
        study, alone = (optuna.create_study(storage=home, sampler=one) for one in (sampler, small(None)))
        for each in (study, alone):
            each.optimize(lambda trial, name=name: trial.suggest_float(name, 0, 1), n_trials=16)
        assert [trial.params for trial in study.get_trials()] == [trial.params for trial in alone.get_trials()]
    assert pickle.loads(pickle.dumps(sampler))


def test_children_share_parameters_with_their_parent_of_any_kind() -> None:
    sampler = RegularizedEvolutionSampler(population_size=8, tournament_size=8, children=2)
    study = optuna.create_study(sampler=sampler)
    study.optimize(mixed, n_trials=40)
    trials = study.get_trials()
    drawn = [trial.params["x"] for trial in trials]
    inherited = [x for number, x in enumerate(drawn) if x in drawn[:number]]
    assert 15 < len(inherited) < 32  # One of three parameters is drawn again: two thirds keep their parent's x.
    assert len({str(trial.params) for trial in trials}) > 20


@pytest.mark.parametrize("odd", ["no parameters", "another range", "another parameter"])
def test_an_odd_trial_does_not_end_evolution(odd: str) -> None:
    """What all trials have in common would be nothing, or no longer what the objective asks for."""

    def objective(trial: optuna.Trial) -> float:
        wide = odd == "another range" and trial.number == 0
        return sum(trial.suggest_float(name, 0, 2 if wide else 1) for name in "xyz")

    sampler = RegularizedEvolutionSampler(population_size=8, tournament_size=8, children=2)
    study = optuna.create_study(sampler=sampler)
    if odd == "no parameters":
        study.add_trial(optuna.create_trial(value=-9.0))
    if odd == "another parameter":
        study.enqueue_trial({"x": 0.5})
        study.add_trial(optuna.create_trial(params={"w": 1}, distributions={"w": IntDistribution(0, 3)}, value=9.0))
    study.optimize(objective, n_trials=48)
    late = [trial.params["x"] for trial in study.get_trials()[-30:]]
    assert len({*late}) < 20  # one of three parameters is drawn again


def test_children_have_the_parameters_of_their_parents_branch() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("model", ["tree", "net"]) == "tree":
            return 5 + trial.suggest_float("depth", 0, 1)
        return trial.suggest_float("width", 0, 1)

    sampler = RegularizedEvolutionSampler(population_size=8, tournament_size=8, children=2)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=60)
    widths = [trial.params["width"] for trial in study.get_trials()[-40:] if "width" in trial.params]
    assert len(widths) > 20
    assert len({*widths}) < 0.9 * len(widths)


@pytest.mark.parametrize("with_space", [False, True])
def test_trials_that_run_at_once_are_no_copies(space: SearchSpace, with_space: bool) -> None:
    """Optuna samples at the first suggest: a trial that was begun later may have ended by then."""
    wanted, same = dict(distributions(space)), 0
    for told in range(12):
        study = optuna.create_study(sampler=small(space if with_space else None))
        study.add_trials(random_study(space, told).get_trials())
        first, second = study.ask(), study.ask()
        suggest_all(second, wanted)
        study.tell(second, 1.0)
        suggest_all(first, wanted)
        same += first.params == second.params
    assert same < 3  # a label that is drawn again may get the value that it had


@pytest.mark.parametrize("end", [TrialState.PRUNED, TrialState.FAIL])
def test_a_trial_without_a_value_is_not_proposed_again(space: SearchSpace, end: TrialState) -> None:
    study = random_study(space, 8)
    study.sampler = small(space)
    ended = study.ask(dict(distributions(space)))
    study.tell(ended, state=end)
    assert study.ask(dict(distributions(space))).params != ended.params


def suggest_all(trial: optuna.Trial, wanted: dict[str, CategoricalDistribution]) -> None:
    for name, distribution in wanted.items():
        trial.suggest_categorical(name, distribution.choices)


EVOLVE = """
import json, sys, optuna
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage

optuna.logging.set_verbosity(optuna.logging.ERROR)
sampler = RegularizedEvolutionSampler(population_size=6, tournament_size=3, children=2, seed=int(sys.argv[2]))
study = optuna.create_study(
    storage=open_storage(sys.argv[1]), study_name="shared", sampler=sampler, load_if_exists=True
)
study.optimize(lambda trial: sum(trial.suggest_int(f"x{i}", 0, 99) for i in range(6)), n_trials=20)
print(json.dumps([trial.params for trial in study.get_trials()]))
"""


def evolve(url: str, seed: int, hashes: str = "0") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    return subprocess.Popen(
        [sys.executable, "-c", EVOLVE, url, str(seed)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_seed_gives_the_same_search_in_any_process(tmp_path: Path) -> None:
    runs = [evolve(f"sqlite:///{tmp_path / f'{i}.db'}", seed, str(i)) for i, seed in enumerate((7, 7, 8))]
    first, again, other = (json.loads(run.communicate(timeout=120)[0]) for run in runs)
    assert len(first) == 20
    assert first == again
    assert first != other


def test_two_processes_with_one_seed_share_a_study(url: str) -> None:
    runs = [evolve(url, 7) for _ in range(2)]
    for run in runs:
        run.communicate(timeout=120)
        assert run.returncode == 0
    trials = optuna.load_study(study_name="shared", storage=url).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 40
    # Children of one parent may be equal by chance, the same search twice would have 20.
    assert len({str(trial.params) for trial in trials}) > 34


def test_evolution_finds_more_than_chance() -> None:
    def objective(trial: optuna.Trial) -> float:
        return sum(trial.suggest_categorical(f"x{i}", list(range(10))) for i in range(8))

    def best(sampler: BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, n_trials=150)
        return study.best_value

    evolved = [
        best(RegularizedEvolutionSampler(population_size=20, tournament_size=10, children=4, seed=s)) for s in range(3)
    ]
    drawn = [best(optuna.samplers.RandomSampler(seed=s)) for s in range(3)]
    assert np.mean(evolved) < np.mean(drawn) - 3


def test_trials_that_are_no_architectures_are_no_parents(space: SearchSpace) -> None:
    study = random_study(space, 8)
    for _ in range(8):
        study.add_trial(optuna.create_trial(value=-1.0))
    assert propose(study, small(space), set()).space == space


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"population_size": 0, "tournament_size": 0}, "population_size"),
        ({"population_size": 4, "tournament_size": 5}, "tournament_size"),
        ({"children": 0}, "children"),
        ({"generations": -1}, "generations"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed must be a whole number, but it is 1.5"),
        ({"population_size": 4, "tournament_size": 2.0}, "tournament_size must be a whole number"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(StudyError, match=named):
        RegularizedEvolutionSampler(**arguments)


def test_without_a_seed_two_searches_differ() -> None:
    drawn = []
    for _ in range(2):
        study = optuna.create_study(sampler=RegularizedEvolutionSampler(population_size=4, seed=None))
        study.optimize(mixed, n_trials=8)
        drawn.append([trial.params for trial in study.get_trials()])
    assert drawn[0] != drawn[1]


def test_half_of_the_population_competes_unless_said_otherwise() -> None:
    found = []
    for size in ({}, {"tournament_size": 4}, {"tournament_size": 1}):
        study = optuna.create_study(sampler=RegularizedEvolutionSampler(population_size=8, children=2, **size))
        study.optimize(mixed, n_trials=30)
        found.append([trial.params for trial in study.get_trials()])
    assert found[0] == found[1] != found[2]
    assert RegularizedEvolutionSampler(population_size=1)


def test_without_a_space_there_is_nothing_to_propose() -> None:
    with pytest.raises(StudyError, match="space"):
        small(None).propose(optuna.create_study(), seen=set())


def test_several_objectives_are_refused(space: SearchSpace) -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(StudyError, match="optimises one value, but the study has 2"):
        small(space).propose(study, seen=set())
