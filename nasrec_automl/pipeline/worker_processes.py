"""Workers that a run's owner starts and ends: what a stage can share, in several processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import optuna
import torch

from nasrec_automl.config import Job
from nasrec_automl.errors import NasRecError
from nasrec_automl.interrupts import no_lost_interrupts, terminate_as_interrupt
from nasrec_automl.pipeline.run_folder import RunFolder

_GRACE = 10.0
"""Seconds in which a worker ends by itself, or gives its trial back when it is told to end."""


@contextmanager
def worker_processes(job: Job, stage: str, workers: int) -> Iterator[None]:
    """Let `workers` processes share a stage's trials, this one included, each with its part of the cores.

    The others end with this process, however it ends, or with the context. One that fails says why, and is no more
    than missing: its trial is tried again.

    Args:
        job: whose stage.
        stage: its name; this process runs what is shared inside the context.
        workers: processes.
    """
    threads = torch.get_num_threads()
    own = max(1, threads // workers)
    others: list[subprocess.Popen[str]] = []
    try:
        others.extend(_start(job, stage, own) for _ in range(workers - 1))
        torch.set_num_threads(own)
        yield
        for process in others:  # they find the stage done, or are about to end it themselves
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
    finally:
        torch.set_num_threads(threads)
        for process in others:
            process.terminate()
        for process in others:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            process.kill()
            with suppress(BrokenPipeError), process:  # waits, and closes its pipe
                pass


def _start(job: Job, stage: str, threads: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "nasrec_automl.pipeline.worker_processes", stage],
        stdin=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        text=True,
        start_new_session=True,  # Ctrl-C is for the owner, who ends it
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(f"{job.model_dump_json()}\n")
        process.stdin.flush()
    return process


def _end_with_owner() -> None:
    """End this process when the owner's end of the pipe is closed, by the system at the latest."""
    sys.stdin.read()
    os._exit(1)


def _main() -> None:
    from nasrec_automl.pipeline.rank import RankStage, train_ranked
    from nasrec_automl.pipeline.stages import STAGES

    terminate_as_interrupt()
    run = RunFolder(Job.model_validate_json(sys.stdin.readline()))
    threading.Thread(target=_end_with_owner, name="end-with-owner", daemon=True).start()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with no_lost_interrupts():
            if sys.argv[1] == RankStage.name:
                train_ranked(run)
            else:
                STAGES[sys.argv[1]].run(run)
    except NasRecError as error:
        print(f"a worker ends: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    _main()
