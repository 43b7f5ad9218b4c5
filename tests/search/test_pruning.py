from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.pruning import KeyedHyperband


def trial(key: str | None, curve: dict[int, float], state: TrialState = TrialState.RUNNING) -> FrozenTrial:
    values: dict[str, Any] = {"value": 0.5} if state == TrialState.COMPLETE else {}
    attrs = {} if key is None else {"nasrec:key": key}
    return optuna.create_trial(state=state, intermediate_values=curve, user_attrs=attrs, **values)


def study_of(*trials: FrozenTrial) -> optuna.Study:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    study.add_trials(trials)
    return study


def keys(pruner: KeyedHyperband, bracket: int, count: int) -> list[str]:
    return [key for key in map(str, range(1000)) if pruner.bracket(key) == bracket][:count]


def test_brackets_have_the_papers_shares() -> None:
    # Rungs 4, 12 and 36 of 40: three brackets of ceil(3 * 9 / 3), ceil(3 * 3 / 2) and 3 shares.
    found = Counter(KeyedHyperband(40).bracket(str(key)) for key in range(17_000))
    assert set(found) == {0, 1, 2}
    for bracket, share in enumerate((9, 5, 3)):
        assert found[bracket] == pytest.approx(1000 * share, rel=0.1)
    assert {KeyedHyperband(length).bracket("a") for length in (1, 2, 4, 11)} == {0}


@pytest.mark.parametrize(("bracket", "rungs"), [(0, [4, 12, 36]), (1, [12, 36]), (2, [36])])
def test_a_training_is_compared_at_the_rungs_of_its_bracket(bracket: int, rungs: list[int]) -> None:
    pruner = KeyedHyperband(40)
    mine, *others = keys(pruner, bracket, 4)
    better = [trial(key, dict.fromkeys(range(1, 41), 0.1), TrialState.COMPLETE) for key in others]
    pruned = [step for step in range(1, 41) if pruner.prune(study_of(*better), trial(mine, {step: 0.2}))]
    assert pruned == rungs


def test_the_best_third_goes_on() -> None:
    pruner = KeyedHyperband(8)
    mine, *others = keys(pruner, 0, 9)
    study = study_of(*(trial(key, {4: value / 10}) for value, key in enumerate(others, 1)))
    assert [value for value in (0.05, 0.15, 0.25, 0.35, 0.45) if not pruner.prune(study, trial(mine, {4: value}))] == [
        0.05,
        0.15,
        0.25,
    ]


def test_the_first_of_a_bracket_goes_on_and_ties_do() -> None:
    pruner = KeyedHyperband(8)
    mine, other = keys(pruner, 0, 2)
    assert not pruner.prune(study_of(), trial(mine, {4: 9.0}))
    assert not pruner.prune(study_of(trial(other, {4: 9.0})), trial(mine, {4: 9.0}))
    assert pruner.prune(study_of(), trial(mine, {4: float("nan")}))


def test_no_rivals_are_other_brackets_failed_attempts_and_attempts_at_the_same_training() -> None:
    pruner = KeyedHyperband(16)
    mine, other = keys(pruner, 0, 2)
    (elsewhere,) = keys(pruner, 1, 1)
    study = study_of(
        trial(elsewhere, {4: 0.1}),
        trial(other, {4: 0.1}, TrialState.FAIL),
        trial(mine, {4: 0.1}),
        trial(None, {4: 0.1}),
    )
    assert not pruner.prune(study, trial(mine, {4: 0.2}))
    study.add_trial(trial(other, {4: 0.1}, TrialState.PRUNED))
    assert pruner.prune(study, trial(mine, {4: 0.2}))


def test_nothing_is_pruned_at_its_end_or_without_a_key() -> None:
    pruner = KeyedHyperband(4)
    mine, other = keys(pruner, 0, 2)
    better = study_of(trial(other, {4: 0.1}))
    assert not pruner.prune(better, trial(mine, {4: 0.2}))
    assert KeyedHyperband(5).prune(better, trial(mine, {4: 0.2}))
    assert not KeyedHyperband(5).prune(better, trial(None, {4: 0.2}))
    assert not pruner.prune(better, trial(mine, {}))


def test_successive_halving_has_one_bracket_and_keeps_the_best_half_at_rungs_that_double() -> None:
    pruner = KeyedHyperband(40, reduction=2, most_brackets=1)
    assert {pruner.bracket(str(key)) for key in range(100)} == {0}
    better = study_of(trial("a", dict.fromkeys(range(1, 41), 0.1)))
    assert [step for step in range(1, 41) if pruner.prune(better, trial("b", {step: 0.2}))] == [4, 8, 16, 32]
    study = study_of(*(trial(str(value), {4: value / 10}) for value in range(1, 8)))
    tried = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
    assert [value for value in tried if not pruner.prune(study, trial("x", {4: value}))] == [0.05, 0.15, 0.25, 0.35]
