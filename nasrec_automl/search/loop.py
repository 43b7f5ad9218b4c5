"""The loop in which a worker runs one trial after another, whatever the trials are about."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.errors import DivergedError
from nasrec_automl.heartbeat import heartbeat
from nasrec_automl.search.attributes import ERROR, INTERRUPTED
from nasrec_automl.search.database import connection_lost, database_errors, patiently
from nasrec_automl.search.ledger import Ledger, lost_where_it_fails
from nasrec_automl.search.stale import worker_id
from nasrec_automl.search.task import Task, TrialOutcome
from nasrec_automl.search.worker import Worker, WorkerOptions

OnTrial = Callable[[FrozenTrial], object]
"""Called after a trial that has finished, with the trial as it began: its key and parameters, but no outcome."""

_LONGEST_REASON = 2000


def work(
    task: Task,
    study: optuna.Study,
    *,
    storage: BaseStorage,
    target: int,
    count: int | None = None,
    timeout: float | None = None,
    on_trial: OnTrial | None = None,
    options: WorkerOptions | None = None,
) -> int:
    """Run trials until the study has enough of them.

    Any number of processes may work on one study. Killed at any point, a worker loses nothing but the trial
    that it was running, which the next one tries again. A single worker killed and started again finishes the
    same trials in the same order as one that was not, if the task's proposals depend on the study alone.

    Workers wait up to two minutes for a database server that restarts. If the connection breaks while a trial runs, the
    trial is failed and tried again, as if its process had died.

    Args:
        task: proposes the trials and runs them.
        study: the study.
        storage: the storage that holds it.
        target: how many finished trials the study is to have, by all workers together.
        count: how many this worker finishes at most; by default as many as it takes.
        timeout: time budget in seconds. Once the study's finished trials and its interrupted or failed attempts have
            taken this long together, and at least one trial has finished, no further trial begins; running ones go on
            to their end.
        on_trial: called after each trial that this worker has finished; called again if a database connection broke in
            it.
        options: how to share the study.

    Returns:
        How many trials this worker has finished.

    Raises:
        StudyError: the database cannot be used.
        Exception: whatever `task.run` raises, once its trial has been failed; a DivergedError prunes its trial alone.
    """
    worker = Worker(task, Ledger(study, storage), target, options or WorkerOptions())
    finished = 0
    with database_errors(storage):
        while count is None or finished < count:
            census = worker.census()
            if census.done >= target:
                break
            late = timeout is not None and census.done > 0 and census.seconds >= timeout
            start = None if late else patiently(storage, partial(worker.next_start, census))
            if start is None:
                if not census.running:
                    break
                time.sleep(worker.options.poll)
                continue
            me = worker_id()
            # In a notebook this process lives on after Ctrl-C, and the trial must not seem to.
            with lost_where_it_fails(me):
                trial = start(me)
                if trial is None:
                    continue
                outcome = _run(task, worker.ledger, trial)
                ended = outcome is not None and worker.ledger.finish(trial, outcome)
            if outcome is not None and ended and outcome.state in task.finished:
                finished += 1
                if on_trial is not None:
                    patiently(storage, partial(on_trial, trial))
    return finished


def _run(task: Task, ledger: Ledger, trial: FrozenTrial) -> TrialOutcome | None:
    """Run a trial.

    Returns:
        The outcome. None if the connection to the database broke, so that the trial is tried again, or if another
        worker had taken this one for dead and failed the trial.
    """
    try:
        with heartbeat(lambda: ledger.show_alive(trial)):
            return _finite(task.run(trial))
    except DivergedError as error:
        return TrialOutcome.of_diverged(error)
    except BaseException as error:
        lost = connection_lost(ledger.storage, error)
        kind = INTERRUPTED if lost or not isinstance(error, Exception) else ERROR
        was_ours = ledger.fail(trial, kind, reason_of(error))
        if lost or (isinstance(error, UpdateFinishedTrialError) and not was_ours):
            return None
        raise


def _finite(outcome: TrialOutcome) -> TrialOutcome:
    """The outcome, pruned where a value is NaN or infinite: a database keeps no NaN, and Optuna could not read it."""
    values = [value for value in outcome.values or () if not math.isfinite(value)]
    if not values:
        return outcome
    reason = outcome.reason or f"its result is {values[0]}: expected a finite number"
    return replace(outcome, state=TrialState.PRUNED, value=None, further=(), reason=reason)


def reason_of(error: BaseException) -> str:
    """An error as the reason that is written to its trial."""
    return f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
