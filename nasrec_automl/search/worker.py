"""A worker of a study that others may share: which trial it takes, and whether it may run it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.heartbeat import LOST_AFTER
from nasrec_automl.search.attributes import ABANDONED, ATTEMPT, KEY
from nasrec_automl.search.census import Census, Tally
from nasrec_automl.search.distributions import can_be_written
from nasrec_automl.search.ledger import Ledger, asked_for, wish_of
from nasrec_automl.search.mirror import ENQUEUED
from nasrec_automl.search.stale import close_stale
from nasrec_automl.search.task import Params, Proposal, TrialSource

Start = Callable[[str], FrozenTrial | None]
"""Starts a trial for a worker, by its id; None where it is not to run, or another worker runs it."""

_LOOKS = 6
"""How often a study is read for whether a trial that stands against an enqueued one is withdrawn."""

_REDRAWS = 20
"""How often what an enqueued trial leaves open is drawn anew where the study has its key."""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How a worker shares a study with others.

    Attributes:
        retries: how many more attempts parameters have after their first failure.
        lost_after: seconds without a sign of life (see `heartbeat`) after which a running trial of another host
            counts as lost.
        poll: seconds between two looks at a study whose last trials others run.
    """

    retries: int = 3
    lost_after: float = LOST_AFTER
    poll: float = 0.5


@dataclass
class Worker:
    """Takes trials out of a study that others may share.

    For each trial a loop calls `census`, then `next_start`, then the start that it returned; the trial's result goes to
    the ledger.

    Attributes:
        source: the source of the trials.
        ledger: the study, and the storage that holds it.
        target: how many finished trials the study is to have.
        options: how to share the study.
    """

    source: TrialSource
    ledger: Ledger
    target: int
    options: WorkerOptions
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.source, retries=self.options.retries)

    def census(self) -> Census:
        """Count the study's trials, once those of dead workers are failed."""
        trials = self.ledger.trials()
        running = [t for t in trials if t.state == TrialState.RUNNING]
        if close_stale(self.ledger, running, lost_after=self.options.lost_after):
            trials = self.ledger.trials()
        return self.tally.count(trials)

    def next_start(self, census: Census) -> Start | None:
        """The start of the next trial; None if other workers run all that is left, or nothing is left."""
        if self._is_full(census):
            return None
        if census.waiting:
            return partial(self.adopt, census.waiting[0])
        proposal = self._next_proposal(census)
        return None if proposal is None else partial(self.begin, proposal, census)

    def _next_proposal(self, census: Census) -> Proposal | None:
        for lost in census.retry:
            params = {name: lost.params[name] for name in self.source.distributions if name in lost.params}
            if self._may_begin(params, census):
                return Proposal(params, lost=lost)
        return self.source.propose(census)

    def _may_begin(self, params: Params, census: Census) -> bool:
        """Whether a lost trial's parameters may be tried again: the ranges may have changed since."""
        key = self.source.key(params)
        return key is not None and key not in census.taken and can_be_written(self.source.distributions, params)

    def adopt(self, waiting: FrozenTrial, worker: str) -> FrozenTrial | None:
        """Start a trial that a user has enqueued; None if it is not to run, or another worker runs it.

        An enqueued trial has an older, lower number than trials begun since, so it is compared with all others, not
        just with earlier ones. Of two enqueued trials the earlier one runs.
        """
        trial = self.ledger.adopt(waiting, self.source, worker=worker)
        if trial is None:
            return None
        key = self.source.key(trial.params)
        others = self._others(trial)
        reason = self._beaten(key, others)
        for _ in range(_LOOKS):
            # A trial that was begun at this very moment has seen this one, and is withdrawn; an older one goes on.
            settled = [one for one in others if one.number < trial.number or one.state != TrialState.RUNNING]
            if reason is None or self._beaten(key, settled) is not None:
                break
            time.sleep(self.options.poll)
            others = self._others(trial)
            reason = self._beaten(key, [one for one in others if one.number < trial.number or not _adopted(one)])
        if reason is None:
            return trial
        census = self.tally.count(others)
        if key in census.done_keys:
            reason = f"the study has the key {key} already"
        # First the one that comes after it: a worker that dies here loses nothing.
        if self._is_full(census):
            # The study may grow later: what a user has asked for waits for that.
            self.ledger.enqueue_again(trial)
        elif trial.params.keys() - asked_for(trial).keys() and wish_of(trial)[1] < _REDRAWS:
            reason += "; what was left open is drawn anew"
            self.ledger.enqueue_again(trial, anew=True)
        self.ledger.fail(trial, ABANDONED, reason)
        return None

    def _others(self, trial: FrozenTrial) -> list[FrozenTrial]:
        return [other for other in self.ledger.trials() if other.number != trial.number]

    def begin(self, proposal: Proposal, census: Census, worker: str) -> FrozenTrial | None:
        """Write a running trial; None if another worker was first, so that this trial is not to run."""
        key = self.source.key(proposal.params)
        attrs: dict[str, Any] = {KEY: key}
        if key is not None and key in census.failures:
            attrs[ATTEMPT] = census.failures[key]
        trial, earlier = self.ledger.reserve(self.source, proposal, attrs, worker=worker)
        reason = self._beaten(key, earlier)
        if reason is not None:
            self.ledger.fail(trial, ABANDONED, reason)
            return None
        return trial

    def _beaten(self, key: str | None, earlier: list[FrozenTrial]) -> str | None:
        """The reason why a trial just written must not run; None if it may.

        Every worker reads the study again after it has written. So of several trials that must not all run, the one
        with the lowest number sees none of the others before it and goes on, and the others see it.
        """
        census = self.tally.count(earlier)
        if key in census.done_keys or key in census.running_keys:
            return f"another worker was first with the key {key}"
        if self._is_full(census):
            return f"other workers already run the last of {self.target} trials"
        return None

    def _is_full(self, census: Census) -> bool:
        return census.done + len(census.running) >= self.target


def _adopted(trial: FrozenTrial) -> bool:
    """Whether a running trial is one that a user had enqueued."""
    return trial.state == TrialState.RUNNING and ENQUEUED in trial.system_attrs
