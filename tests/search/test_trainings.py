from __future__ import annotations

import os
import signal

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import DivergedError
from nasrec_automl.search import TrialOutcome, open_storage, open_study
from nasrec_automl.search.ledger import Reached
from nasrec_automl.search.trainings import count_trained, train_each, trained_losses, training_key
from nasrec_automl.space import SearchSpace


@pytest.fixture
def drawn(space: SearchSpace) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.random(rng) for _ in range(4)]


def train(architecture: Architecture, seed: int, reached: Reached | None = None) -> TrialOutcome:
    return TrialOutcome(value=int(architecture.key, 16) % 97 + seed / 10, attrs={"auc": 0.5})


def expected(drawn: list[Architecture], seeds: int) -> np.ndarray:
    return np.array([[train(one, seed).value for seed in range(seeds)] for one in drawn])


def test_each_is_trained_once_with_each_seed_the_first_seed_first(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, drawn: list[Architecture]
) -> None:
    told: list[int] = []
    ended: list[str] = []

    def on_trial(trial: FrozenTrial) -> None:
        told.append(count_trained(study, drawn, 3))
        ended.append(trial.user_attrs["nasrec:key"])

    assert train_each(study, space, drawn, 3, train, storage=storage, on_trial=on_trial) == 12
    assert told == [*range(1, 13)]
    assert ended == [training_key(one, seed) for seed in range(3) for one in drawn]
    assert [trial.params["seed"] for trial in study.get_trials()] == [0] * 4 + [1] * 4 + [2] * 4
    assert space.from_params({k: v for k, v in study.get_trials()[1].params.items() if k != "seed"}) == drawn[1]
    assert study.get_trials()[0].user_attrs["nasrec:auc"] == 0.5
    assert trained_losses(study, drawn, 3) == pytest.approx(expected(drawn, 3))
    assert train_each(study, space, drawn, 3, train, storage=storage) == 0


def test_more_is_asked_of_a_study_that_has_some(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, drawn: list[Architecture]
) -> None:
    train_each(study, space, drawn[:2], 1, train, storage=storage)
    assert np.isnan(trained_losses(study, drawn, 2)).sum() == 6
    assert count_trained(study, drawn, 2) == 2
    assert train_each(study, space, drawn[1:], 2, train, storage=storage) == 5, "one of six is there"
    assert trained_losses(study, drawn[1:], 2) == pytest.approx(expected(drawn[1:], 2))
    assert count_trained(study, drawn[1:], 2) == 6


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_interrupted_and_resumed_it_ends_as_if_unbroken(
    study: optuna.Study, storage: RDBStorage, url: str, space: SearchSpace, drawn: list[Architecture], stop: int
) -> None:
    calls: list[tuple[str, int]] = []

    def interrupted(architecture: Architecture, seed: int, reached: Reached) -> TrialOutcome:
        calls.append((architecture.key, seed))
        if len(calls) == stop:
            raise KeyboardInterrupt
        return train(architecture, seed)

    with pytest.raises(KeyboardInterrupt):
        train_each(study, space, drawn, 2, interrupted, storage=storage)
    again = open_storage(url)
    train_each(open_study(again, name="search", identity={}), space, drawn, 2, interrupted, storage=again)
    assert calls[stop] == calls[stop - 1], "the broken one is tried again"
    assert len(calls) == 9
    assert trained_losses(study, drawn, 2) == pytest.approx(expected(drawn, 2))


def test_a_training_that_diverges_counts_and_is_not_tried_again(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, drawn: list[Architecture]
) -> None:
    def diverges(architecture: Architecture, seed: int, reached: Reached) -> TrialOutcome:
        if architecture.key == drawn[2].key and seed == 1:
            raise DivergedError("step 3: the loss is nan")
        return train(architecture, seed)

    assert train_each(study, space, drawn, 2, diverges, storage=storage) == 8
    assert train_each(study, space, drawn, 2, diverges, storage=storage) == 0
    assert np.argwhere(np.isnan(trained_losses(study, drawn, 2))).tolist() == [[2, 1]]
    assert count_trained(study, drawn, 2) == 8
    (pruned,) = study.get_trials(states=(TrialState.PRUNED,))
    assert pruned.user_attrs["nasrec:reason"] == "the training diverged at step 3: the loss is nan"


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_result_that_is_no_finite_number_is_pruned_and_the_study_stays_readable(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, drawn: list[Architecture], loss: float
) -> None:
    def nan(architecture: Architecture, seed: int, reached: Reached) -> TrialOutcome:
        return TrialOutcome(value=loss if architecture.key == drawn[1].key else 0.5)

    assert train_each(study, space, drawn, 1, nan, storage=storage) == 4
    (pruned,) = study.get_trials(states=(TrialState.PRUNED,))
    assert pruned.user_attrs["nasrec:reason"] == f"its result is {loss}: expected a finite number"
    assert np.argwhere(np.isnan(trained_losses(study, drawn, 1))).tolist() == [[1, 0]]
    assert train_each(study, space, drawn, 1, nan, storage=storage) == 0


def test_a_training_that_dies_often_is_not_given_up_while_it_comes_further(
    study: optuna.Study, storage: RDBStorage, url: str, space: SearchSpace, drawn: list[Architecture]
) -> None:
    """As where a limit of time kills each attempt, and the next one goes on from its checkpoint."""

    def dies(architecture: Architecture, seed: int, reached: Reached) -> TrialOutcome:
        attempts = len(study.get_trials())
        for attempt in range(attempts):
            reached(10 * (attempt + 1), 0.5)
        if attempts < 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(architecture, seed)

    for _ in range(6):
        child = os.fork()
        if not child:
            own = open_storage(url)
            study = open_study(own, name="search", identity={})
            train_each(study, space, drawn[:1], 1, dies, storage=own)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert train_each(study, space, drawn[:1], 1, dies, storage=storage) == 1
    assert len(study.get_trials()) == 7
    assert max(study.best_trial.intermediate_values) == 70
