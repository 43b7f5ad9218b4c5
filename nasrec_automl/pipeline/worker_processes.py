"""Workers that a run's owner starts and ends: what a stage can share, in several processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import optuna
import torch

from nasrec_automl.config import Job
from nasrec_automl.errors import NasRecError
from nasrec_automl.interrupts import no_lost_interrupts, terminate_as_interrupt
from nasrec_automl.pipeline.helpers import end_helper, given_job, start_helper
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
        environment = {**os.environ, "OMP_NUM_THREADS": str(own)}
        others.extend(start_helper(__name__, stage, job=job, environment=environment) for _ in range(workers - 1))
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
            end_helper(process)


def _main() -> None:
    from nasrec_automl.pipeline.rank import RankStage, train_ranked
    from nasrec_automl.pipeline.stages import STAGES

    terminate_as_interrupt()
    run = RunFolder(given_job())
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
