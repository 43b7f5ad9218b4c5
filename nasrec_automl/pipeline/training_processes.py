"""The other processes of a training: started by the stage, and gone when it ends.

Lightning would start the user's command again, with its lock and its reports; these run the training alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from nasrec_automl.config import Job
from nasrec_automl.errors import TrainingError
from nasrec_automl.pipeline.helpers import end_helper, given_job, start_helper
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.supernet_training import train_supernet
from nasrec_automl.training.ranks import Rank


@contextmanager
def training_processes(job: Job) -> Iterator[Rank]:
    """Start the other processes of a job's training, if it has any, and be process 0 of them.

    Raises:
        TrainingError: another process ended before the training did.
    """
    if job.devices == 1:
        yield Rank()
        return
    port = _free_port()
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    others: list[subprocess.Popen[str]] = []
    try:
        others.extend(_start(job, Rank(number, job.devices, port)) for number in range(1, job.devices))
        for process in others:
            if process.stdout is not None and not process.stdout.readline():
                process.wait()
        _raise_for_dead(others)
        yield Rank(0, job.devices, port)
        for process in others:
            process.wait()
    except RuntimeError:
        # A process that waits for a dead one learns no more than that a connection was closed.
        _raise_for_dead(others)
        raise
    finally:
        for process in others:
            end_helper(process)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        # Lightning divides the cores among the processes, and does not give them back.
        torch.set_num_threads(threads)
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)


def _raise_for_dead(others: list[subprocess.Popen[str]]) -> None:
    for number, process in enumerate(others, 1):
        if process.poll() not in (None, 0):
            raise TrainingError(
                f"process {number} of the {len(others) + 1} that train ended with code {process.returncode}; its own "
                "message stands above. The same command goes on from the last checkpoint"
            )


def _start(job: Job, rank: Rank) -> subprocess.Popen[str]:
    # NNI's variables would make a trial of each process.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NNI_")}
    arguments = [str(number) for number in (rank.number, rank.count, rank.port)]
    return start_helper(__name__, *arguments, job=job, environment=environment, stdout=subprocess.PIPE)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _main() -> None:
    number, count, port = (int(word) for word in sys.argv[1:])
    run = RunFolder(given_job())
    print("ready", flush=True)  # process 0 waits for it: later it could only wait for a process that never joins
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    train_supernet(run, Rank(number, count, port), [])


if __name__ == "__main__":
    _main()
