"""Trials whose worker is gone.

Optuna's heartbeat covers `study.optimize` alone, so each trial says which process runs it. On the worker's
own host that process is looked up; on any other, time decides: living workers give signs of life.
"""

from __future__ import annotations

import os
import time
import uuid

from optuna.trial import FrozenTrial

from nasrec_automl.processes import is_alive, own_host, start_of
from nasrec_automl.search.attributes import ALIVE, KEY, STALE, TAKER, WORKER
from nasrec_automl.search.ledger import Ledger, is_lost
from nasrec_automl.search.mirror import ENQUEUED


def worker_id() -> str:
    """A new id of this process: `host:pid:process start:unique`, with host and start from `nasrec_automl.processes`."""
    return f"{own_host()}:{os.getpid()}:{start_of():.2f}:{uuid.uuid4().hex}"


def process_of(worker: str) -> str:
    """What the ids of one process have in common."""
    return worker.rpartition(":")[0]


def close_stale(ledger: Ledger, running: list[FrozenTrial], *, lost_after: float) -> int:
    """Fail every running trial whose worker is gone; workers then try its parameters again.

    Args:
        ledger: of the study.
        running: its running trials.
        lost_after: seconds without a sign of life after which a trial of another host counts as lost.

    Returns:
        How many were failed.
    """
    failed = 0
    for trial in running:
        reason = why_stale(trial, lost_after=lost_after)
        if reason is None or not ledger.fail(trial, STALE, reason):
            continue
        failed += 1
        # An enqueued one whose worker died before it had all parameters: there is no key to try again.
        if KEY not in trial.user_attrs and ENQUEUED in trial.system_attrs:
            ledger.enqueue_again(trial)
    return failed


def why_stale(trial: FrozenTrial, *, lost_after: float) -> str | None:
    """The reason why a running trial is stale; None if it is not, or if no worker of this package runs it."""
    worker = trial.user_attrs.get(WORKER)
    if worker is None and not trial.params:
        # Its worker may have died as it took it. Whoever else has taken it gives it parameters.
        worker = trial.user_attrs.get(TAKER)
    if worker is None:
        return None
    if is_lost(str(worker)):
        return "its worker could not write to the database how it had ended"
    host, pid, started, _ = str(worker).rsplit(":", 3)
    name = host.partition("@")[0]
    if host == own_host():
        return None if is_alive(int(pid), float(started)) else f"its worker, process {pid} on {name}, is gone"
    if time.time() - float(trial.user_attrs[ALIVE]) > lost_after:
        return f"its worker, process {pid} on {name}, has not been heard of for {lost_after:g} seconds"
    return None
