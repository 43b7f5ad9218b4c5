"""Workers beside the owner of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES
from nasrec_automl.pipeline.status import run_status
from nasrec_automl.pipeline.worker import Shared, share_work
from tests.pipeline.changed import changed

SLOWLY = """
import os, sys, time
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.cli import main

evaluate = WeightSharingEvaluator.evaluate

def together(*arguments):
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    time.sleep(0.3)
    return evaluate(*arguments)

WeightSharingEvaluator.evaluate = together
main(sys.argv[2:])
"""


def start(all_there: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that scores nothing before there is a file, which says that all have taken a trial."""
    command = [sys.executable, "-c", SLOWLY, str(all_there), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trials_of(run: RunFolder) -> list[FrozenTrial]:
    try:
        return optuna.load_study(study_name="tiny-search", storage=f"sqlite:///{run.path / 'studies.db'}").get_trials()
    except KeyError:
        return []


def wait_for(condition: object, *processes: subprocess.Popen[str]) -> None:
    assert callable(condition)
    while not condition():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def test_a_worker_shares_both_studies_until_they_are_done(copied_run: RunFolder) -> None:
    grown = changed(copied_run, "search", architectures=24)
    assert share_work(grown, count=3) == Shared(architectures=3, trainings=0)
    assert not STAGES["search"].is_done(grown)
    rest = share_work(grown)
    assert rest.architectures == 1
    assert STAGES["search"].is_done(grown)
    assert STAGES["retrain"].is_done(grown)
    assert share_work(grown) == Shared(architectures=0, trainings=0)
    assert Counter(trial.state for trial in trials_of(grown)) == {TrialState.COMPLETE: 24}


@pytest.mark.slow
def test_the_count_holds_for_both_studies_together(searching: RunFolder) -> None:
    assert share_work(searching, count=22) == Shared(architectures=20, trainings=2)


def test_while_a_worker_is_at_it_the_run_is_in_use(searching: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    evaluate = WeightSharingEvaluator.evaluate

    def looking(*arguments: Any) -> Score:
        seen.extend(status.state for status in run_status(searching))
        return evaluate(*arguments)

    monkeypatch.setattr(WeightSharingEvaluator, "evaluate", looking)
    share_work(searching, count=1)
    assert seen == ["done", "done", "running", "waiting", "waiting", "waiting"]
    assert not searching.in_use()


def test_without_a_supernet_and_anyone_who_trains_it(copied_run: RunFolder) -> None:
    copied_run.weights.unlink()
    with pytest.raises(RunFolderError, match="the supernet is not trained, and nobody trains it; start"):
        share_work(copied_run)


def test_while_someone_trains_the_supernet_it_waits(copied_run: RunFolder, tmp_path: Path) -> None:
    weights = copied_run.weights.rename(tmp_path / "weights")
    told: list[str] = []

    def trained(what: str) -> None:
        told.append(what)
        threading.Timer(0.5, lambda: weights.rename(copied_run.weights)).start()

    with copied_run.lock():
        assert share_work(copied_run, on_wait=trained) == Shared(architectures=0, trainings=0)
    assert told == ["the supernet"]


def test_a_worker_of_another_job_is_refused_before_and_after_it_has_waited(
    copied_run: RunFolder, tmp_path: Path
) -> None:
    another = RunFolder(copied_run.job.model_copy(update={"seed": 9}))
    wait: list[str] = []
    with pytest.raises(JobError, match="seed: the supernet stage"):
        share_work(another, on_wait=wait.append)
    assert not wait
    weights = copied_run.weights.rename(tmp_path / "weights")  # as before the first checkpoint: nothing to compare with

    def trained(what: str) -> None:
        wait.append(what)
        weights.rename(copied_run.weights)

    with copied_run.lock(), pytest.raises(JobError, match="seed: the supernet stage"):
        share_work(another, on_wait=trained)
    assert wait == ["the supernet"]


def test_beside_an_owner_the_owners_job_counts(copied_run: RunFolder) -> None:
    edited = changed(copied_run, "search", architectures=24)
    with copied_run.lock():
        assert share_work(edited) == Shared(architectures=0, trainings=0)
    assert share_work(edited, count=1) == Shared(architectures=1, trainings=0)


@pytest.mark.slow
def test_workers_come_and_go_beside_a_run(searching: RunFolder, tmp_path: Path) -> None:
    there = tmp_path / "all are there"
    owner = start(there, "run", searching.path.parent / "job.yaml")
    killed, stopped, counted = (start(there, "worker", searching.path, *rest) for rest in ((), (), ("--count", 2)))

    def pids() -> set[str]:
        return {trial.user_attrs["nasrec:worker"].split(":")[1] for trial in trials_of(searching)}

    wait_for(lambda: {str(p.pid) for p in (owner, killed, stopped, counted)} <= pids(), owner, killed, stopped)
    there.touch()
    killed.send_signal(signal.SIGKILL)
    stopped.send_signal(signal.SIGTERM)
    assert "goes on from here" in stopped.communicate()[1]
    assert stopped.returncode == 130
    killed.communicate()
    out, error = owner.communicate()
    assert owner.returncode == 0, out + error
    out, error = counted.communicate()
    assert counted.returncode == 0, error
    assert out.endswith("scored 2 architectures, finished 0 trainings\n")
    trials = trials_of(searching)
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] == 20
    assert states.keys() <= {TrialState.COMPLETE, TrialState.FAIL}
    keys = {trial.user_attrs["nasrec:key"] for trial in trials if trial.state == TrialState.COMPLETE}
    assert len(keys) == 20
    assert read_json(searching.result)["test"]
