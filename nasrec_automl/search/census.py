"""A summary of a study's trials, which a worker makes before it takes the next trial."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.attributes import ABANDONED, ERROR, FAILURE, INTERRUPTED, KEY, STALE, WORKER
from nasrec_automl.search.task import ENDED, TrialSource

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Census:
    """The trials of a study at one moment, counted and sorted.

    Attributes:
        done: number of finished trials that the source admits.
        seconds: seconds that all ended trials and all interrupted or failed attempts took together.
        running: trials that workers run. Trials that users have asked for (`study.ask`) are not among them: they may
            never end.
        done_keys: keys of the ended trials, which are not tried again.
        running_keys: keys of all running trials, those of users included.
        failures: failed attempts by key.
        given_up: keys that have failed too often. Interruptions do not count, nor does an attempt whose worker died
            once it had come further than the attempts before it.
        waiting: trials that a user has enqueued, in their order.
        retry: trials whose workers died or were interrupted, to try again as they were, oldest first.
    """

    done: int
    seconds: float
    running: tuple[FrozenTrial, ...]
    done_keys: Set[str]
    running_keys: Set[str]
    failures: Mapping[str, int]
    given_up: Set[str]
    waiting: tuple[FrozenTrial, ...]
    retry: tuple[FrozenTrial, ...]

    @property
    def taken(self) -> Set[str]:
        """Keys that a proposal must not have."""
        return self.done_keys | self.running_keys | self.given_up


def seconds_spent(trial: FrozenTrial) -> float:
    """The seconds that a trial ran, if it has ended, was interrupted or raised an error; 0 for any other trial.

    Interrupted and failed attempts count: the next attempt may go on from their checkpoint, and its own time is then
    only a part of the whole. The time of a trial whose worker died is not known: other workers noticed its end later,
    perhaps in another time zone.
    """
    counts = trial.state in ENDED or trial.user_attrs.get(FAILURE) in (INTERRUPTED, ERROR)
    if not counts or trial.datetime_start is None or trial.datetime_complete is None:
        return 0.0
    # Not `trial.duration`: Optuna's times are local ones, which jump where daylight saving begins and ends.
    return max(0.0, trial.datetime_complete.timestamp() - trial.datetime_start.timestamp())


class Tally:
    """Counts the trials of one study. Ended trials never change, so it looks at each of them once.

    Args:
        source: the source of the trials.
        retries: how many more attempts a key has after its first failure.
    """

    def __init__(self, source: TrialSource, *, retries: int) -> None:
        self._source = source
        self._retries = retries
        self._counted: set[int] = set()
        self._done = 0
        self._seconds = 0.0
        self._done_keys: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._against: Counter[str] = Counter()
        self._reached: dict[str, int] = {}
        self._lost: dict[str, FrozenTrial] = {}

    def count(self, trials: Iterable[FrozenTrial]) -> Census:
        """Count the given trials, and also the ended trials that earlier calls were given."""
        running: list[FrozenTrial] = []
        waiting: list[FrozenTrial] = []
        running_keys: set[str] = set()
        for trial in [trial for trial in trials if trial.number not in self._counted]:
            if trial.user_attrs.get(FAILURE) == ABANDONED:
                continue  # It may not have been failed yet, but it no longer stands in anyone's way.
            key = self._key(trial)
            if trial.state.is_finished():
                self._counted.add(trial.number)
                self._count_ended(trial, key)
            elif trial.state == TrialState.RUNNING:
                if WORKER in trial.user_attrs:
                    running.append(trial)
                if key is not None:
                    running_keys.add(key)
            else:
                waiting.append(trial)
        given_up = {key for key, count in self._against.items() if count > self._retries}
        closed = running_keys | given_up
        retry = (t for key, t in self._lost.items() if key not in self._done_keys and key not in closed)
        return Census(
            done=self._done,
            seconds=self._seconds,
            running=tuple(running),
            done_keys=frozenset(self._done_keys),
            running_keys=running_keys,
            failures={**self._failures},
            given_up=given_up,
            waiting=tuple(waiting),
            retry=tuple(retry),
        )

    def _count_ended(self, trial: FrozenTrial, key: str | None) -> None:
        self._seconds += seconds_spent(trial)
        if trial.state in ENDED:
            self._done += trial.state in self._source.finished and self._source.admits(trial)
            if key is not None:
                self._done_keys.add(key)
        elif key is not None and trial.user_attrs.get(FAILURE) in (STALE, INTERRUPTED, ERROR):
            self._failures[key] += 1
            came = max(trial.intermediate_values, default=0)  # the last step that it reported
            further = came > self._reached.get(key, 0)
            if trial.user_attrs[FAILURE] != INTERRUPTED:
                self._reached[key] = max(came, self._reached.get(key, 0))
            if _speaks_against(trial, further):
                self._against[key] += 1
                if self._against[key] == self._retries + 1:
                    _logger.warning(
                        "trial %d failed, as %d before it: what it tries is given up", trial.number, self._retries
                    )
            if trial.user_attrs[FAILURE] != ERROR and self._source.admits(trial):
                self._lost.setdefault(key, trial)

    def _key(self, trial: FrozenTrial) -> str | None:
        """The trial's key, computed where no worker wrote it; None if the parameters are not the source's."""
        written = trial.user_attrs.get(KEY)
        return self._source.key(trial.params) if written is None else str(written)


def _speaks_against(trial: FrozenTrial, further: bool) -> bool:
    """Whether a trial that ended without a result counts as a failure of its key.

    An interruption does not count: it was aimed at the worker, not at its trial. The death of a process may be the
    trial's fault, but hardly if the attempt came further than all attempts before it.
    """
    failure = trial.user_attrs[FAILURE]
    return failure == ERROR or (failure != INTERRUPTED and not further)
