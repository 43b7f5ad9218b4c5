"""A copy of a study in memory, where any Optuna sampler can be asked for parameters without writing a trial."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.task import ENDED

ENQUEUED = "fixed_params"
"""Name of the system attribute in which Optuna keeps the parameters that a user enqueued. It has no public constant."""


Constraints = Callable[[FrozenTrial], Mapping[str, float]]
"""Optuna's constraints of a trial by name: 0 and below is inside."""

_SILENCE = threading.Lock()
"""Of two threads that change Optuna's verbosity at once the second would keep that of the first."""


def notes_of(trial: FrozenTrial) -> dict[str, Any]:
    """A sampler's notes in a trial: its system attributes without Optuna's own for constraints and enqueued trials."""
    own = ("constraints", ENQUEUED)
    return {name: value for name, value in trial.system_attrs.items() if name.partition(":")[0] not in own}


def unstoppable(study: optuna.Study) -> optuna.Study:
    """A copy of a study that a sampler cannot stop, even when it has tried everything.

    `Study.stop` raises outside `Study.optimize`.
    """
    copied = copy.copy(study)
    copied.stop = lambda: None  # type: ignore[method-assign]
    return copied


@contextmanager
def _unannounced() -> Iterator[None]:
    """Hide Optuna's message that a study was made in memory: the user would take it for theirs in the database."""
    with _SILENCE:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


class Mirror:
    """A copy of a study in memory, for samplers.

    A worker writes a trial whole, in one transaction, and knows only then whether it may run it. So it must ask the
    sampler before the trial exists. Some samplers need a trial: NSGA-II notes the generation in the trial that it
    samples for, and TPE notes which trials still run. In the mirror they find a trial to write to, and their notes go
    into the real trial with the proposal.

    Args:
        study: the study. A mirror reads each of its finished trials once.
        constraints: computes a trial's present constraints, which replace those written in it: the budget may have
            changed since. By default a trial keeps its own.

    Attributes:
        notes: notes of the sampler that was asked last, by name: Optuna's system attributes of its trial.
    """

    def __init__(self, study: optuna.Study, constraints: Constraints | None = None) -> None:
        with _unannounced():
            mirrored = optuna.create_study(
                storage=InMemoryStorage(),
                sampler=RandomSampler(),
                study_name=study.study_name,
                directions=study.directions,
            )
        self._mirrored = unstoppable(mirrored)
        self._study = study
        self._constraints = constraints
        self._ended: set[int] = set()
        self._running: dict[int, int] = {}
        self.notes: Mapping[str, Any] = {}

    def update(self) -> None:
        """Copy the changes of the study since the last update."""
        states = ENDED | {TrialState.RUNNING}
        trials = [t for t in self._study.get_trials(deepcopy=False, states=states) if t.number not in self._ended]
        # A trial is added as it is, and never changed: the place of one that ran is given up when it has ended.
        running = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
        for number in self._running.keys() - running:
            self._mirrored.tell(self._running.pop(number), state=TrialState.FAIL)
        for trial in trials:
            if trial.state.is_finished():
                self._ended.add(trial.number)
                self._mirrored.add_trial(self._as_of_now(trial))
            elif trial.number not in self._running:
                self._mirrored.add_trial(self._as_of_now(trial))
                self._running[trial.number] = self._mirrored.get_trials(deepcopy=False)[-1].number

    def _as_of_now(self, trial: FrozenTrial) -> FrozenTrial:
        if self._constraints is None:
            return trial
        return optuna.create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            system_attrs=dict(notes_of(trial)),
            intermediate_values=trial.intermediate_values,
            constraints=dict(self._constraints(trial)),
        )

    def ask(self, sampler: BaseSampler, wanted: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """Ask a sampler for parameters of the study's next trial."""
        self._mirrored.sampler = sampler
        trial = self._mirrored.ask(dict(wanted))
        self.notes = notes_of(self._mirrored.get_trials(deepcopy=False)[trial.number])
        # Whether it is to run is not known; where it does, it comes back with the study.
        self._mirrored.tell(trial, state=TrialState.FAIL)
        return trial.params
