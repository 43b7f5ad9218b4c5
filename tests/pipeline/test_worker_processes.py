"""A run's owner and the workers that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import optuna
import psutil
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.worker_processes import worker_processes
from tests.children import children

OWNER = """
import sys, time
from pathlib import Path
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.worker_processes import worker_processes

with worker_processes(RunFolder.open(Path(sys.argv[1])).job, "search", 3):
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def scored(run: RunFolder) -> list[FrozenTrial]:
    try:
        study = optuna.load_study(study_name="tiny-search", storage=f"sqlite:///{run.path / 'studies.db'}")
    except KeyError:
        return []
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@pytest.mark.usefixtures("four_threads")
def test_another_process_does_the_stage_with_its_part_of_the_cores(searching: RunFolder) -> None:
    with worker_processes(searching.job, "search", 2):
        assert torch.get_num_threads() == 2
        (other,) = children()
        assert other.environ()["OMP_NUM_THREADS"] == "2"
        wait_until(lambda: STAGES["search"].is_done(searching))
    assert torch.get_num_threads() == 4
    assert not other.is_running()
    assert {trial.user_attrs["nasrec:worker"].split(":")[1] for trial in scored(searching)} == {str(other.pid)}


@pytest.mark.slow
def test_a_worker_that_is_not_done_gives_its_trial_back(searching: RunFolder) -> None:
    with worker_processes(searching.job, "search", 2):
        (other,) = children()
        wait_until(lambda: bool(scored(searching)))
    assert not other.is_running()
    STAGES["search"].run(searching)
    assert len(scored(searching)) == searching.job.search.architectures


@pytest.mark.slow
def test_workers_end_with_an_owner_that_is_killed(searching: RunFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(searching.path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        others = psutil.Process(owner.pid).children()
        assert len(others) == 2
        for process in others:
            process.suspend()
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        for process in others:
            process.resume()
        assert psutil.wait_procs(others, timeout=30)[1] == []
    assert len(scored(searching)) < searching.job.search.architectures


@pytest.mark.slow
def test_a_worker_that_fails_says_why_and_is_only_missing(
    searching: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = searching.weights.rename(searching.path / "weights")
    with worker_processes(searching.job, "search", 2):
        (other,) = children()
        wait_until(lambda: other.status() == psutil.STATUS_ZOMBIE)
        weights.rename(searching.weights)
        STAGES["search"].run(searching)
    assert "a worker ends: " in capfd.readouterr().err
    assert len(scored(searching)) == searching.job.search.architectures


@pytest.mark.slow
def test_a_job_with_two_workers(searching: RunFolder) -> None:
    run_job(searching, workers=2)
    assert len(scored(searching)) == searching.job.search.architectures
    assert read_json(searching.result)["test"]
    assert children() == []
