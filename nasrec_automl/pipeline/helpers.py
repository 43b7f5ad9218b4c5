"""Python processes that work on a job for the process that started them, their owner, and end with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nasrec_automl.config import Job


def start_helper(
    module: str, *arguments: str, job: Job, environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[str]:
    """Start `python -m MODULE ARGUMENTS`, which is to call `given_job`.

    Args:
        module: to run.
        arguments: of the command.
        job: what it is given.
        environment: its variables.
        options: further ones of Popen.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,  # Ctrl-C is for the owner, who ends it
        **options,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # one that ended at once is found out by who waits for it
        process.stdin.write(f"{job.model_dump_json()}\n")
        process.stdin.flush()
    return process


def end_helper(process: subprocess.Popen[str]) -> None:
    """Kill a helper, where it still runs, and close its pipes."""
    process.kill()
    with suppress(BrokenPipeError), process:  # which waits
        pass


def given_job() -> Job:
    """The job that the owner of this process gave it; from here on this process ends when its owner does.

    The system closes the owner's end of the pipe at the latest, whatever killed it.
    """
    job = Job.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_owner, name="end-with-owner", daemon=True).start()
    return job


def _end_with_owner() -> None:
    sys.stdin.read()
    os._exit(1)
