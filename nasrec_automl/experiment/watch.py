"""No process of a job outlives the NNI manager that it works for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import psutil

from nasrec_automl.experiment.manager import error_line

_INTERVAL = 0.5


def watch_manager() -> None:
    """End this process, and what it started, as soon as its NNI manager is gone.

    A manager that is killed cannot stop its trials and tuner: they would go on, and hold the run folder. A job's
    trials and the tuner call this first. Where no manager is among the ancestors, it died before the call.
    """
    ancestors = _ancestors()
    if not ancestors:
        print(error_line("no NNI manager is above this process; start it with `nnictl create`"), file=sys.stderr)
        sys.stderr.flush()
        _end()
    threading.Thread(target=_watch, args=(ancestors,), name="watch-manager", daemon=True).start()


def _ancestors() -> list[psutil.Process]:
    """The chain of processes up to the manager (or, on another machine, NNI's trial keeper): both run in node."""
    chain: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process().parents():
            chain.append(process)
            if process.name().startswith("node"):
                return chain
    return []


def _watch(ancestors: list[psutil.Process]) -> None:
    while all(_alive(process) for process in ancestors):
        time.sleep(_INTERVAL)
    _end()


def _alive(process: psutil.Process) -> bool:
    try:
        # A killed manager stays a zombie where nobody waits for it, as in many containers.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end() -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    # Everything resumes from any point, so nothing is to be tidied up; `sys.exit` would end this thread alone.
    os._exit(1)
