from __future__ import annotations

import datetime
from dataclasses import replace

import optuna
from optuna.trial import TrialState

from nasrec_automl.search.history import Evolution, History

EVOLUTION = Evolution(population_size=4, tournament_size=4, children=2, generations=10, seed=0)


def history(values: list[float], evolution: Evolution = EVOLUTION) -> History:
    study = optuna.create_study()
    for value in values:
        study.add_trial(optuna.create_trial(value=value))
    return History.of(study, evolution)


def parent_value(found: History) -> float | None:
    parent = found.parent(())
    return None if parent is None else parent.value


def test_generations_begin_when_the_random_start_is_complete() -> None:
    counts = range(3, 9)
    assert [history([1.0] * n).generation() for n in counts] == [None, 0, 0, 1, 1, 2]
    assert history([1.0] * 3).parent(()) is None


def test_all_children_of_a_generation_have_one_parent() -> None:
    start = [4.0, 2.0, 3.0, 5.0]
    assert parent_value(history(start)) == 2.0
    # A better first child does not become the second child's parent, but that of the next generation.
    assert parent_value(history([*start, 1.0])) == 2.0
    assert parent_value(history([*start, 1.0, 9.0])) == 1.0


def test_the_oldest_leave_however_good_they_are() -> None:
    assert parent_value(history([1.0, 2.0, 3.0, 5.0, 6.0, 7.0])) == 3.0


def test_larger_is_better_where_the_study_says_so() -> None:
    study = optuna.create_study(direction="maximize")
    for value in (4.0, 2.0, 5.0, 3.0):
        study.add_trial(optuna.create_trial(value=value))
    assert parent_value(History.of(study, EVOLUTION)) == 5.0


def test_what_violates_a_constraint_loses_to_what_does_not() -> None:
    study = optuna.create_study()
    for value, excess in ((1.0, 0.5), (2.0, 0.1), (9.0, -1.0), (8.0, 0.0)):
        study.add_trial(optuna.create_trial(value=value, constraints={"memory": excess, "time": -0.3}))
    assert parent_value(History.of(study, EVOLUTION)) == 8.0
    assert parent_value(History.of(study, EVOLUTION, constrained=False)) == 1.0
    study.add_trials([optuna.create_trial(value=v, constraints={"memory": v / 10}) for v in (5.0, 6.0, 3.0, 4.0)])
    assert parent_value(History.of(study, EVOLUTION)) == 3.0


def test_a_small_tournament_does_not_always_find_the_best() -> None:
    winners = {
        parent_value(history([1.0, 2.0, 3.0, 4.0], replace(EVOLUTION, tournament_size=2, seed=seed)))
        for seed in range(30)
    }
    assert winners == {1.0, 2.0, 3.0}  # The worst of four wins no tournament of two.


def test_a_generation_has_one_tournament() -> None:
    for seed in range(10):
        lottery = replace(EVOLUTION, tournament_size=1, seed=seed)
        first = parent_value(history([1.0, 2.0, 3.0, 4.0], lottery))
        assert first is not None
        assert first == parent_value(history([1.0, 2.0, 3.0, 4.0, 5.0], lottery))


def test_order_is_that_of_completion() -> None:
    study = optuna.create_study()
    early, late = optuna.create_trial(value=1.0), optuna.create_trial(value=2.0)
    late.datetime_complete = datetime.datetime(2031, 1, 1)
    early.datetime_complete = datetime.datetime(2030, 1, 1)
    study.add_trials([late, early])
    assert [trial.value for trial in History.of(study, EVOLUTION).complete] == [1.0, 2.0]


def test_which_child_comes_next() -> None:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(value=1.0))
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    for _ in range(3):
        study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    assert History.of(study, EVOLUTION).index == 4  # What failed is tried again.
    assert History.of(study, EVOLUTION, number=3).index == 3


def test_parents_have_the_labels() -> None:
    assert history([1.0] * 4).parent(["block1/fm"]) is None


def test_workers_of_several_time_zones_have_one_order() -> None:
    """Optuna writes local times: those of a container in UTC lie hours before those of its host."""
    study, now = optuna.create_study(), 1_800_000_000.0
    for number, zone in enumerate((9, 0, 9, 0)):
        trial = optuna.create_trial(value=number, user_attrs={"nasrec:alive": now + number})
        trial.datetime_complete = datetime.datetime(2027, 1, 15, 8 + zone, 0, number)
        study.add_trial(trial)
    assert [trial.number for trial in History.of(study, EVOLUTION).complete] == [0, 1, 2, 3]
