"""Writes the trials of workers to their study, in as few transactions as possible."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from nasrec_automl.errors import StudyError
from nasrec_automl.randomness import seed_for
from nasrec_automl.search.attributes import ABANDONED, ALIVE, ERROR, FAILURE, KEY, PREFIX, REASON, TAKER, WISH, WORKER
from nasrec_automl.search.database import patiently
from nasrec_automl.search.distributions import suggest
from nasrec_automl.search.mirror import ENQUEUED, notes_of, unstoppable
from nasrec_automl.search.task import Proposal, TrialOutcome, TrialSource

Reached = Callable[[int, float], object]
"""`reached(step, value)` notes how far a trial has come: where its worker dies, an attempt that came further than those
before it is not held against the trial's key."""

_SHOWN = 12
"""Names of parameters that an error lists."""


class Ledger:
    """A study together with its storage, as workers use them.

    A trial that was added whole can only be written to through the storage (see `handle`). Therefore the storage is
    passed beside the study, as it is to `optuna.artifacts.upload_artifact`. Only documented methods of `BaseStorage`
    are called.

    Every method waits for a database server that restarts (see `patiently`). It writes its content only once, even if
    the connection broke before the server could confirm the write.

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
        """All trials, by number. Only changes are read from the database. Do not modify the trials."""
        return patiently(self.storage, lambda: self.study.get_trials(deepcopy=False))

    def trial_id(self, trial: FrozenTrial) -> int:
        """The id of a trial in its storage."""
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def reached(self, trial: FrozenTrial) -> Reached:
        """A function that notes how far a running trial has come."""
        running = self._running(trial)
        return lambda step, value: patiently(self.storage, partial(running.report, value, step))

    def prune(self, trial: FrozenTrial) -> Callable[[int, float], bool]:
        """A function that notes how far a running trial has come, and says whether the study's pruner would end it."""
        running = self._running(trial)

        def prune(step: int, value: float) -> bool:
            patiently(self.storage, partial(running.report, value, step))
            return patiently(self.storage, running.should_prune)

        return prune

    def _running(self, trial: FrozenTrial) -> Trial:
        return patiently(self.storage, lambda: handle(self.study, self.trial_id(trial)))

    def reserve(
        self, source: TrialSource, proposal: Proposal, attrs: Mapping[str, Any], *, worker: str
    ) -> tuple[FrozenTrial, list[FrozenTrial]]:
        """Write a running trial with everything that is known of it, in one transaction.

        Args:
            source: the source of the trial.
            proposal: its parameters and notes. If it tries a trial again, that trial's notes of a sampler or a user are
                copied instead.
            attrs: its attributes, in addition to those of the source's `describe`.
            worker: an id that no other trial has.

        Returns:
            The trial, and every trial with a lower number, read after the write.
        """
        params, lost = proposal.params, proposal.lost
        template = optuna.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: source.distributions[name] for name in params},
            user_attrs={
                **({} if lost is None else _users(lost)),
                **_prefixed(source.describe(params)),
                **attrs,
                WORKER: worker,
                ALIVE: time.time(),
            },
            constraints=dict(source.constraints(params)),
            system_attrs=dict(proposal.notes) if lost is None else notes_of(lost),
        )

        def add_if_missing() -> None:
            if not _written_by(worker, self.study.get_trials(deepcopy=False)):
                self.study.add_trial(template)

        with lost_where_it_fails(worker):
            patiently(self.storage, lambda: self.study.add_trial(template), again=add_if_missing)
        trials = self.trials()
        # `add_trial` returns nothing; the unique id says which one it is. Optuna adds a trial again by itself when a
        # connection breaks, be it after the first one was written.
        place, *twins = _written_by(worker, trials)
        for twin in twins:
            self.fail(trials[twin], ABANDONED, f"written twice when a connection broke: trial {trials[place].number}")
        return trials[place], trials[:place]

    def adopt(self, waiting: FrozenTrial, source: TrialSource, *, worker: str) -> FrozenTrial | None:
        """Start a trial that a user has enqueued; parameters that it leaves open are drawn uniformly.

        Args:
            waiting: the trial.
            source: the source of the trial.
            worker: an id that no other trial has.

        Returns:
            The running trial. None if another worker has taken it, or if its parameters do not fit the source: then it
            is failed with the reason.
        """
        with lost_where_it_fails(worker):
            trial_id = patiently(self.storage, lambda: self.trial_id(waiting))
            if not self._take_announced(trial_id, worker):
                return None
            # At once: a running trial without a worker is taken for somebody's own. The sign of life first: every trial
            # that has a worker has one.
            self._write(trial_id, {ALIVE: time.time(), WORKER: worker})
            try:
                _check_names(asked_for(waiting), source)
                trial, params = patiently(self.storage, lambda: self._suggest_all(trial_id, wish_of(waiting), source))
                _check_read(asked_for(waiting), params)
            except ValueError as error:
                self.fail(waiting, ERROR, f"the enqueued trial has parameters that do not fit: {error}")
                return None
            self._write(trial_id, {KEY: source.key(params)})
            self._write(trial_id, _prefixed(source.describe(params)))
            for name, excess in source.constraints(params).items():
                patiently(self.storage, partial(trial.set_constraint, name, excess))
            taken = patiently(self.storage, lambda: self.storage.get_trial(trial_id))
            # SQLite lets two workers take a trial at the same moment: the last name in it counts.
            return taken if taken.user_attrs.get(WORKER) == worker else None

    def enqueue_again(self, trial: FrozenTrial, *, anew: bool = False) -> None:
        """Enqueue a user's trial once more, with the parameters that the user gave it.

        Args:
            trial: the trial.
            anew: whether the parameters that the user left open are drawn anew; by default they are as before.
        """
        number, draws = wish_of(trial)
        params, attrs = dict(asked_for(trial)), {**_users(trial), WISH: [number, draws + anew]}

        def enqueue_if_missing() -> None:
            later = self.study.get_trials(deepcopy=False)[trial.number + 1 :]
            if not any(other.user_attrs.get(WISH) == attrs[WISH] for other in later):
                self.study.enqueue_trial(params, user_attrs=attrs)

        patiently(self.storage, lambda: self.study.enqueue_trial(params, user_attrs=attrs), again=enqueue_if_missing)

    def _take_announced(self, trial_id: int, worker: str) -> bool:
        """Take a waiting trial.

        TAKER is written first: from it others learn of a worker that died before it wrote its WORKER.
        """
        try:
            before = patiently(self.storage, lambda: self.storage.get_trial(trial_id)).user_attrs.get(TAKER)
            self._write(trial_id, {ALIVE: time.time(), TAKER: worker})
            if patiently(
                self.storage,
                lambda: self._take(trial_id),
                again=lambda: self._has_taken(trial_id) or self._take(trial_id),
            ):
                return True
            # Whoever has taken it, maybe the user's own process, does not end with this one.
            self._write(trial_id, {TAKER: before})
        except UpdateFinishedTrialError:
            pass  # whoever was first is done with it already
        return False

    def _take(self, trial_id: int) -> bool:
        try:
            return self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def _has_taken(self, trial_id: int) -> bool:
        """Whether this worker had taken the trial when the connection broke: any other worker writes its id at once."""
        found = self.storage.get_trial(trial_id)
        return found.state == TrialState.RUNNING and WORKER not in found.user_attrs

    def _suggest_all(self, trial_id: int, wish: tuple[int, int], source: TrialSource) -> tuple[Trial, dict[str, Any]]:
        """Give a trial its parameters; return it with them, as the study holds them."""
        # Not the study's own sampler: one of Optuna's that was asked in a mirror serves no second study.
        study = copy.copy(self.study)
        study.sampler = RandomSampler(seed=seed_for("what was left open", source.seed, *wish))
        trial = handle(study, trial_id)
        params: dict[str, Any] = {}
        for name, distribution in source.distributions.items():
            if source.applies(name, params):
                params[name] = suggest(trial, name, distribution)
        return trial, params

    def _write(self, trial_id: int, attrs: Mapping[str, Any]) -> None:
        """Write attributes of a running trial, in their order."""
        for name, value in attrs.items():
            patiently(self.storage, partial(self.storage.set_trial_user_attr, trial_id, name, value))

    def show_alive(self, trial: FrozenTrial) -> None:
        """Write that a running trial's worker lives."""
        self.storage.set_trial_user_attr(self.trial_id(trial), ALIVE, time.time())

    def finish(self, trial: FrozenTrial, outcome: TrialOutcome) -> bool:
        """Write how a running trial ended.

        Returns:
            Whether the trial was still running: another worker may have taken this one for dead and failed the trial.
        """
        # What `Study.tell` does too, once it has read the trial again: a tenth of all that a trial costs.
        values = None if outcome.values is None else [float(value) for value in outcome.values]
        after = partial(self.study.sampler.after_trial, unstoppable(self.study), trial, outcome.state, values)
        patiently(self.storage, after)
        attrs = _prefixed({name: _plain(value) for name, value in outcome.attrs.items()})
        reason = {} if outcome.reason is None else {REASON: outcome.reason}
        return self._close(trial, outcome.state, values, {**attrs, **reason, ALIVE: time.time()})

    def fail(self, trial: FrozenTrial, kind: str, reason: str) -> bool:
        """Fail a running trial; return whether it was still running."""
        return self._close(trial, TrialState.FAIL, None, {FAILURE: kind, REASON: reason})

    def _close(
        self, trial: FrozenTrial, state: TrialState, values: list[float] | None, attrs: Mapping[str, Any]
    ) -> bool:
        def close() -> bool:
            trial_id = self.trial_id(trial)
            try:
                for name, value in attrs.items():
                    self.storage.set_trial_user_attr(trial_id, name, value)
                return self.storage.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                return False

        def close_again() -> bool:
            # Others only ever fail a trial: what has ended otherwise was ended here, before the connection broke.
            return close() or (state != TrialState.FAIL and self.storage.get_trial(self.trial_id(trial)).state == state)

        with lost_where_it_fails(trial.user_attrs.get(WORKER)):
            return patiently(self.storage, close, again=close_again)


def handle(study: optuna.Study, trial_id: int) -> Trial:
    """An Optuna `Trial`, through which a trial can be written to, from the trial's id in its storage.

    Optuna advises against calling its constructor, but offers no other way from a trial that was added whole to a
    `Trial`.
    """
    return Trial(study, trial_id)


_lost: set[str] = set()


def is_lost(worker: str) -> bool:
    """Whether this process has given up the trial of this worker id, for example because it could not be written.

    The process lives on, so the trial would seem to run.
    """
    return worker in _lost


@contextmanager
def lost_where_it_fails(worker: str | None) -> Iterator[None]:
    """Give up the trial of this worker id if the block raises, also on Ctrl-C in a notebook (see `is_lost`)."""
    try:
        yield
    except BaseException:
        if worker is not None:
            _lost.add(worker)
        raise


def _users(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes of a trial that were not written by this package."""
    return {name: value for name, value in trial.user_attrs.items() if not name.startswith(PREFIX)}


def asked_for(trial: FrozenTrial) -> Mapping[str, Any]:
    """The parameters that a user asked for: those enqueued, or all of a waiting trial that was added whole.

    Optuna keeps what was enqueued among its own attributes.
    """
    found: Mapping[str, Any] = trial.system_attrs.get(ENQUEUED, trial.params)
    return found


def wish_of(trial: FrozenTrial) -> tuple[int, int]:
    """The number under which a user enqueued a trial, and how often its open parameters have been drawn anew."""
    number, draws = trial.user_attrs.get(WISH, (trial.number, 0))
    return int(number), int(draws)


def _written_by(worker: str, trials: list[FrozenTrial]) -> list[int]:
    return [i for i, trial in enumerate(trials) if trial.user_attrs.get(WORKER) == worker]


def _check_names(asked: Mapping[str, Any], source: TrialSource) -> None:
    """Raise ValueError where a user asked for a parameter that no trial of the source has: nothing would read it."""
    unknown = sorted(asked.keys() - source.distributions.keys())
    if unknown:
        verb = "is" if len(unknown) == 1 else "are"
        known = [*source.distributions]
        shown = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise ValueError(f"{', '.join(map(repr, unknown))} {verb} none of {shown}")


def _check_read(asked: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Raise ValueError where a user asked for a parameter that does not apply beside the others."""
    unread = sorted(asked.keys() - params.keys())
    if unread:
        verb = "does" if len(unread) == 1 else "do"
        raise ValueError(
            f"{', '.join(map(repr, unread))} {verb} not apply beside {params}: leave it out, or enqueue what it "
            "depends on too, such as optimizer"
        )


def _plain(value: Any) -> Any:
    """A number of NumPy or torch as Python's own, since databases' drivers and JSON know no other."""
    return value.item() if hasattr(value, "item") else value


def _prefixed(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{PREFIX}{name}": value for name, value in attrs.items()}
