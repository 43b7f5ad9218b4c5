"""Workers that a run's owner starts and ends: what a stage can share, in several processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
def worker_processes(job: Job, shared: str, workers: int, *arguments: str) -> Iterator[None]:
    """Let `workers` processes share some work, this one included, each with its part of the cores.

    The others end with this process, however it ends, or with the context. One that fails says why, and is no more
    than missing: what it was at is tried again.

    Args:
        job: whose work.
        shared: the name of a parallel stage, or of trainings; this process runs what is shared inside the context.
        workers: processes; of fewer than two, nothing happens.
        arguments: what else the others are told.
    """
    if workers < 2:
        yield
        return
    threads = torch.get_num_threads()
    own = max(1, threads // workers)
    others: list[subprocess.Popen[str]] = []
    try:
        environment = {**os.environ, "OMP_NUM_THREADS": str(own)}
        told = (shared, *arguments)
        others.extend(start_helper(__name__, *told, job=job, environment=environment) for _ in range(workers - 1))
        torch.set_num_threads(own)
        yield
        for process in others:  # they find all done, or are about to end it themselves
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
    from nasrec_automl.pipeline.last_trainings import LAST_TRAININGS, help_train
    from nasrec_automl.pipeline.rank import RankStage, train_ranked
    from nasrec_automl.pipeline.stages import STAGES
    from nasrec_automl.pipeline.teachers import TEACHERS, train_designs

    terminate_as_interrupt()
    run, shared = RunFolder(given_job()), sys.argv[1]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with no_lost_interrupts():
            if shared == RankStage.name:
                train_ranked(run)
            elif shared == TEACHERS:
                train_designs(run)
            elif shared == LAST_TRAININGS:
                help_train(run, Path(sys.argv[2]))
            else:
                STAGES[shared].run(run)
    except NasRecError as error:
        print(f"a worker ends: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    _main()
