"""How workers write trials: as few transactions as a trial can have."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.errors import StudyError
from nasrec_automl.search.attributes import ALIVE, FAILURE, PREFIX, REASON, WORKER
from nasrec_automl.search.task import Outcome, TrialSource

_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)


class Ledger:
    """A study together with its storage, as workers use them.

    Optuna offers a study's user no way from a trial that was added whole back to a handle that can write to
    it, so the storage has to be passed along (as `optuna.artifacts.upload_artifact` wants it for such
    trials). Its methods are the documented ones of `BaseStorage`.

    Args:
        study: the study.
        storage: the storage that holds it.

    Raises:
        StudyError: the storage holds no such study.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage) -> None:
        self.study = study
        self.storage = storage
        try:
            self._study_id = storage.get_study_id_from_name(study.study_name)
        except KeyError:
            raise StudyError(
                f"the storage holds no study named {study.study_name!r}: pass the one that it was opened from"
            ) from None

    def trials(self) -> list[FrozenTrial]:
        """Every trial that has started, by number. Only what has changed is read; do not modify it."""
        return self.study.get_trials(deepcopy=False, states=_STATES)

    def trial_id(self, trial: FrozenTrial) -> int:
        """The id that storages know a trial by."""
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def reserve(
        self, source: TrialSource, params: Mapping[str, Any], attrs: Mapping[str, Any], *, worker: str
    ) -> tuple[FrozenTrial, list[FrozenTrial]]:
        """Write a running trial with everything that is known of it, in one transaction.

        Args:
            source: what it is about.
            params: its parameters.
            attrs: its attributes, beside those that the source describes it with.
            worker: an id that no other trial has.

        Returns:
            The trial, and every trial before it as it is after the write.
        """
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=dict(params),
                distributions={name: source.distributions[name] for name in params},
                user_attrs={**_prefixed(source.describe(params)), **attrs, WORKER: worker, ALIVE: time.time()},
                constraints=dict(source.constraints(params)),
            )
        )
        trials = self.trials()
        # `add_trial` returns nothing; the unique id says which one it is.
        place = next(i for i in reversed(range(len(trials))) if trials[i].user_attrs.get(WORKER) == worker)
        return trials[place], trials[:place]

    def finish(self, trial: FrozenTrial, outcome: Outcome) -> bool:
        """Write how a running trial ended.

        Returns:
            Whether it was still running: another worker may have taken this one for dead and failed it.
        """
        values = None if outcome.value is None else [outcome.value]
        # What `Study.tell` does too, once it has read the trial again: a tenth of all that a trial costs.
        self.study.sampler.after_trial(self.study, trial, outcome.state, values)
        return self._close(trial, outcome.state, values, _prefixed(outcome.attrs))

    def fail(self, trial: FrozenTrial, kind: str, reason: str) -> bool:
        """Fail a running trial; return whether it was still running."""
        return self._close(trial, TrialState.FAIL, None, {FAILURE: kind, REASON: reason})

    def _close(
        self, trial: FrozenTrial, state: TrialState, values: list[float] | None, attrs: Mapping[str, Any]
    ) -> bool:
        trial_id = self.trial_id(trial)
        try:
            for name, value in attrs.items():
                self.storage.set_trial_user_attr(trial_id, name, value)
            return self.storage.set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            return False


def _prefixed(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{PREFIX}{name}": value for name, value in attrs.items()}
