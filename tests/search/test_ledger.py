from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from nasrec_automl.errors import StudyError
from nasrec_automl.search import database
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.task import TrialOutcome


def running(study: optuna.Study) -> optuna.trial.FrozenTrial:
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    return study.get_trials()[-1]


def test_a_finished_trial_is_not_written_again(study: optuna.Study, storage: RDBStorage) -> None:
    ledger = Ledger(study, storage)
    trial = running(study)
    assert ledger.fail(trial, "stale", "gone")
    assert not ledger.finish(trial, TrialOutcome(state=TrialState.COMPLETE, value=1.0, attrs={"auc": 0.5}))
    assert not ledger.fail(trial, "error", "late")
    with pytest.raises(UpdateFinishedTrialError):  # what a heartbeat passes over
        ledger.show_alive(trial)
    (found,) = study.get_trials()
    assert found.state == TrialState.FAIL
    assert found.user_attrs == {"nasrec:failure": "stale", "nasrec:reason": "gone"}


@pytest.mark.parametrize("lost", ["set_trial_intermediate_value", "get_all_trials"])
def test_how_far_a_training_came_is_noted_though_the_server_was_gone_for_a_moment(
    study: optuna.Study, storage: RDBStorage, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    class Comparing(optuna.pruners.ThresholdPruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            study.get_trials()
            return super().prune(study, trial)

    study.pruner = Comparing(upper=0.6)
    ledger, trial = Ledger(study, storage), running(study)
    prune, call, failed = ledger.prune(trial), getattr(study._storage, lost), []

    def gone(*arguments: object, **options: object) -> object:
        if not failed:
            failed.append(arguments)
            raise StorageInternalError
        return call(*arguments, **options)

    monkeypatch.setattr(study._storage, lost, gone)
    monkeypatch.setattr(database, "connection_lost", lambda *_: True)
    monkeypatch.setattr(database, "_PAUSES", (0.0,))
    assert not prune(1, 0.5)
    assert prune(2, 0.7)
    assert failed
    assert study.get_trials()[0].intermediate_values == {1: 0.5, 2: 0.7}


def test_the_sampler_is_told(storage: RDBStorage, study: optuna.Study) -> None:
    told: list[tuple[TrialState, object]] = []

    class Listening(optuna.samplers.RandomSampler):
        def after_trial(
            self,
            study: optuna.Study,
            trial: optuna.trial.FrozenTrial,
            state: TrialState,
            values: object,
        ) -> None:
            told.append((state, values))

    study.sampler = Listening()
    Ledger(study, storage).finish(running(study), TrialOutcome(state=TrialState.COMPLETE, value=1.0))
    assert told == [(TrialState.COMPLETE, [1.0])]


def test_numbers_of_numpy_and_torch_are_written_as_pythons(study: optuna.Study, storage: RDBStorage) -> None:
    written: list[list[float]] = []

    class Strict(Ledger):
        def _close(self, trial: Any, state: TrialState, values: list[float] | None, attrs: Any) -> bool:
            written.append(values or [])
            return super()._close(trial, state, values, attrs)

    attrs = {"auc": np.float32(0.5), "rows": np.int64(3), "stopped": np.bool_(False), "loss": torch.tensor(0.5)}
    outcome = TrialOutcome(
        state=TrialState.COMPLETE, value=np.float64(0.25), attrs={**attrs, "note": "text", "none": None}
    )
    assert Strict(study, storage).finish(running(study), outcome)
    assert [type(value) for (value,) in written] == [float]  # psycopg2 writes np.float64(0.25) as that text
    (found,) = study.get_trials()
    assert found.value == 0.25
    assert found.user_attrs.pop("nasrec:alive")
    assert found.user_attrs == {
        "nasrec:auc": 0.5,
        "nasrec:rows": 3,
        "nasrec:stopped": False,
        "nasrec:loss": 0.5,
        "nasrec:note": "text",
        "nasrec:none": None,
    }


def test_any_storage_of_optunas() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    assert Ledger(study, storage).finish(running(study), TrialOutcome(state=TrialState.COMPLETE, value=2.0))
    assert study.best_value == 2.0


def test_the_storage_must_hold_the_study(storage: RDBStorage) -> None:
    with pytest.raises(StudyError, match="holds no study named 'elsewhere'"):
        Ledger(optuna.create_study(study_name="elsewhere"), storage)


@pytest.mark.parametrize("written", [False, True])
def test_a_trial_is_enqueued_again_once_though_the_connection_breaks(
    study: optuna.Study, storage: RDBStorage, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr("nasrec_automl.search.database.time.sleep", lambda _: None)
    monkeypatch.setattr("nasrec_automl.search.database.connection_lost", lambda storage, error: True)
    study.enqueue_trial({"x": 1})
    study.ask()
    enqueue, calls = study.enqueue_trial, []

    def breaks(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if written or len(calls) > 1:
            enqueue(*arguments, **options)
        if len(calls) == 1:
            raise OperationalError("COMMIT", {}, Exception("gone"))

    monkeypatch.setattr(study, "enqueue_trial", breaks)
    Ledger(study, storage).enqueue_again(study.trials[0])
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.WAITING]
    assert study.trials[1].system_attrs["fixed_params"] == {"x": 1}
