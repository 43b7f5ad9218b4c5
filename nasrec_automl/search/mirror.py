"""A study's mirror in memory, where any of Optuna's samplers can be asked without writing a trial."""

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
    """What a sampler noted in a trial: system attributes, but for Optuna's own of constraints and enqueued trials."""
    own = ("constraints", ENQUEUED)
    return {name: value for name, value in trial.system_attrs.items() if name.partition(":")[0] not in own}


def unstoppable(study: optuna.Study) -> optuna.Study:
    """A study that a sampler which has tried everything cannot stop: `Study.stop` is for `Study.optimize` alone."""
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
    """Holds what a study holds.

    A worker writes a trial whole, in one transaction, and knows only then whether it may run it. So a sampler has
    to be asked before there is a trial. Some cannot be: NSGA-II notes the generation in the trial that it samples
    for, and TPE which trials still run. Here they find a trial to write to, and what they wrote goes with the
    proposal into the real one.

    Args:
        study: the study. A mirror reads each of its finished trials once.
        constraints: what holds for a trial now, in place of what is written in it: a budget may have changed since. By
            default a trial keeps its own.

    Attributes:
        notes: what the sampler that was asked last wrote into its trial, by name: Optuna's system attributes.
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
        """Take over what has happened in the study since the last time."""
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
