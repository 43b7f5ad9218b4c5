"""The other processes of a training, with a shell script in Python's place; `test_supernet.py` has real ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from nasrec_automl.config import DataConfig, Job
from nasrec_automl.errors import TrainingError
from nasrec_automl.pipeline.training_processes import training_processes
from nasrec_automl.training.ranks import Rank

READY = """
folder=$(dirname "$0")
head -n 1 > "$folder/job-$3"
env > "$folder/environment-$3"
echo "$*" > "$folder/arguments-$3"
echo $$ > "$folder/process-$3"
echo ready
"""


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Say what the other processes do; gives the folder where they note how they were started."""

    def write(script: str) -> Path:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh{script}")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        return tmp_path

    return write


def job(devices: int) -> Job:
    return Job(name="mine", devices=devices, data=DataConfig(source="synthetic"))


def test_a_process_alone_starts_no_other(others: Callable[[str], Path]) -> None:
    folder = others(READY)
    with training_processes(job(1)) as rank:
        assert rank == Rank()
    assert [path.name for path in folder.iterdir()] == ["python"]


def test_each_of_the_others_is_told_its_place_and_waited_for(
    others: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNI_PLATFORM", "local")
    folder = others(f'{READY}sleep 0.3; touch "$folder/ended-$3"\n')
    with training_processes(job(3)) as rank:
        assert (rank.number, rank.count) == (0, 3)
    for number in (1, 2):
        started = (folder / f"arguments-{number}").read_text().split()
        assert started == ["-m", "nasrec_automl.pipeline.training_processes", str(number), "3", str(rank.port)]
        assert Job.model_validate_json((folder / f"job-{number}").read_text()) == job(3)
        assert "NNI_PLATFORM" not in (folder / f"environment-{number}").read_text()
        assert (folder / f"ended-{number}").is_file()


def test_an_error_ends_the_others_and_gives_the_cores_back(
    others: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    folder, threads = others(f"{READY}exec sleep 600\n"), torch.get_num_threads()

    def train() -> None:
        with training_processes(job(3)):
            torch.set_num_threads(threads + 1)
            os.environ["OMP_NUM_THREADS"] = str(threads + 1)  # as Lightning does
            raise RuntimeError("of my own")

    with pytest.raises(RuntimeError, match="of my own"):
        train()
    assert not any(psutil.pid_exists(int((folder / f"process-{number}").read_text())) for number in (1, 2))
    assert torch.get_num_threads() == threads
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_process_that_cannot_start_is_named(others: Callable[[str], Path]) -> None:
    others("\nexit 3\n")
    with (
        pytest.raises(TrainingError, match="process 1 of the 2 that train ended with code 3"),
        training_processes(job(2)),
    ):
        pytest.fail("nobody is there to train with")


def test_a_process_that_dies_while_it_trains_is_named(others: Callable[[str], Path]) -> None:
    folder = others(f'{READY}while [ $3 = 1 ] || [ ! -e "$folder/go" ]; do sleep 0.05; done; exit 5\n')

    def train() -> None:
        with training_processes(job(3)):
            (folder / "go").touch()
            dying = psutil.Process(int((folder / "process-2").read_text()))
            while dying.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            raise RuntimeError("Connection closed by peer")

    with pytest.raises(TrainingError, match="process 2 of the 3 that train ended with code 5"):
        train()
