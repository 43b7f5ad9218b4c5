"""A job over a fake pipeline, and experiments under the real `nnictl` that leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import yaml

from nasrec_automl.config import load_job
from nasrec_automl.experiment.manager import Manager
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.ports import free_port

FAKE = Path(__file__).parent / "fake"
ALL_UNITS = {"data": 1, "supernet": 1, "search": 10, "retrain": 3, "final": 1, "report": 1}
STAGES = tuple(ALL_UNITS)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits until a condition holds."""
    return _until


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stages that only sleep."""
    monkeypatch.syspath_prepend(str(FAKE))
    import fake_pipeline

    return fake_pipeline


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job for the fake pipeline: searches in fives, retrains in threes, no retries."""
    return _write_job(tmp_path)


def _write_job(folder: Path, *, seconds: float = 0.0, **experiment: int | str) -> Path:
    """Write a job whose units take so many seconds each."""
    content = {
        "name": "fake",
        "data": {"source": "synthetic", "options": {"seconds": seconds}},
        "experiment": {"search_trial": 5, "retrain_trial": 3, "retries": 0, **experiment},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def run(job_file: Path) -> RunFolder:
    """The run folder of the job."""
    return RunFolder(load_job(job_file))


@pytest.fixture
def retrying(tmp_path: Path) -> RunFolder:
    """The same, where a failed trial is tried again once."""
    return RunFolder(load_job(_write_job(tmp_path, retries=1)))


def _until(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {condition}")


@dataclass
class Experiment:
    """A folder with a job and its `experiment.yml` over the fake pipeline, for the real `nnictl`."""

    folder: Path
    port: int
    until: Callable[..., Any]

    @property
    def file(self) -> Path:
        return self.folder / "experiment.yml"

    @property
    def run(self) -> RunFolder:
        return RunFolder(load_job(self.folder / "job.yaml"))

    def write(self, *, seconds: float = 0.0, missing: tuple[str, ...] = STAGES, **experiment: int | str) -> None:
        """Write job and experiment, and all units of the stages that are not missing."""
        for source in FAKE.glob("*.py"):
            shutil.copy(source, self.folder)
        path = write_experiment(_write_job(self.folder, seconds=seconds, **experiment), self.file)
        text = path.read_text()
        for real, fake in (
            ("nasrec_automl.experiment.tuner.StageTuner", "fake_tuner.FakeTuner"),
            ("python3 -m nasrec_automl.experiment.trial", "python3 fake_trial.py"),
        ):
            assert real in text
            text = text.replace(real, fake)
        path.write_text(text)
        units = self.run.path / "units"
        units.mkdir(parents=True)
        for stage in set(STAGES) - set(missing):
            for unit in range(ALL_UNITS[stage]):
                (units / f"{stage}-{unit}").touch()

    def finished(self) -> bool:
        """Whether every unit was done, and none twice."""
        return {stage: self.units(stage) for stage in STAGES} == ALL_UNITS

    def units(self, stage: str) -> int:
        return len(list((self.run.path / "units").glob(f"{stage}-*")))

    def runs(self) -> list[tuple[str, int | None, int]]:
        """What trials ran: stage, count, process."""
        path = self.run.path / "runs.txt"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def started(self, stage: str) -> int | None:
        """The process that ran a stage last."""
        return next((pid for name, _, pid in reversed(self.runs()) if name == stage), None)

    def nnictl(self, *arguments: str) -> str:
        result = subprocess.run(["nnictl", *arguments], capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def create(self) -> str:
        """Start the experiment by hand; returns its id."""
        self.nnictl("create", "--config", str(self.file), "--port", str(self.port))
        return str(self.manager().profile()["id"])

    def kill_manager(self, trial: int) -> None:
        """Kill the manager that a trial's process belongs to."""
        manager = next(p for p in psutil.Process(trial).parents() if p.name().startswith("node"))
        manager.send_signal(signal.SIGKILL)
        # `nnictl resume` refuses while the dead manager waits to be reaped.
        _until(lambda: not psutil.pid_exists(manager.pid))

    def manager(self) -> Manager:
        return Manager(f"http://localhost:{self.port}")

    def until_done(self, *, seconds: float = 90.0) -> Manager:
        manager = self.manager()
        _until(lambda: manager.status()[0] == "DONE", seconds=seconds)
        return manager

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to an experiment of this folder."""
        return [
            process
            for process in psutil.process_iter(["status", "environ"])
            if (process.info["environ"] or {}).get("HOME") == str(self.folder)
            and process.info["status"] != psutil.STATUS_ZOMBIE
            and process.pid != os.getpid()
        ]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    """An experiment in its own home, so that it sees no other and `nnictl` keeps its list there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    experiment = Experiment(tmp_path, free_port(), _until)
    yield experiment
    for process in experiment.processes():
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def on_status(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have a function called whenever a launch has asked for its experiment's status, about twice a second."""

    def watch(look: Callable[[], None]) -> None:
        class Watched(Manager):
            def status(self) -> tuple[str, list[str]]:
                found = super().status()
                look()
                return found

        monkeypatch.setattr("nasrec_automl.experiment.launch.Manager", Watched)

    return watch
