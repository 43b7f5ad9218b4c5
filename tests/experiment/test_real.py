"""Whole runs of the real stages under the real `nnictl`."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from nasrec_automl import load_model
from nasrec_automl.config import load_job
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.experiment.launch import launch
from nasrec_automl.experiment.manager import Manager
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import run_status
from nasrec_automl.pipeline.studies import found_study


def curves(manager: Manager) -> dict[str, list[dict[str, float]]]:
    """The intermediate results of every trial as NNI's page reads them, in their order."""
    found: dict[str, list[dict[str, float]]] = {}
    for metric in sorted(manager._get("metric-data"), key=lambda metric: int(metric["sequence"])):
        if metric["type"] == "PERIODICAL":
            found.setdefault(metric["trialJobId"], []).append(json.loads(json.loads(metric["data"])))
    return found


def workers(study: optuna.Study) -> list[int]:
    """The living processes that run trials of a study, the newest trial's first."""
    pids = [int(trial.user_attrs["nasrec:worker"].rsplit(":", 3)[1]) for trial in reversed(study.trials)]
    return [pid for pid in dict.fromkeys(pids) if psutil.pid_exists(pid)]


def test_a_job_runs_to_done_and_leaves_what_a_run_in_one_process_leaves(
    experiment: Any, write_job: Callable[..., Path], finished_run: RunFolder, on_status: Any
) -> None:
    job = write_job(experiment.folder)
    file = write_experiment(job, experiment.folder / "experiment.yml")
    run = RunFolder(load_job(job))
    seen: dict[str, Any] = {}
    lengths: dict[str, list[int]] = {}

    def follow() -> None:
        manager = experiment.manager()
        seen["status"], seen["trials"], seen["curves"] = manager.status()[0], manager.trials(), curves(manager)
        for trial, curve in seen["curves"].items():
            lengths.setdefault(trial, []).append(len(curve))

    on_status(follow)
    launch(file, port=experiment.port)

    assert seen["status"] == "DONE"
    assert [trial.parameters["stage"] for trial in seen["trials"]] == [
        *("supernet", "search", "search", "retrain", "final")
    ]
    assert {trial.status for trial in seen["trials"]} == {"SUCCEEDED"}
    assert not experiment.processes()
    for trial in seen["trials"]:
        # What NNI's page shows: a few words and numbers, and a curve that grew point by point.
        assert set(trial.parameters) <= {"run_folder", "stage", "count"}
        assert {type(value) for value in trial.parameters.values()} <= {str, int}
        curve = seen["curves"][trial.id]
        assert len(curve) > 1
        assert all(math.isfinite(value) for point in curve for value in point.values())
        assert lengths[trial.id] == sorted(lengths[trial.id])
    assert {status.state for status in run_status(run)} == {"done"}

    # The database, with plain Optuna.
    storage = f"sqlite:///{run.path / 'studies.db'}"
    result, alone = read_json(run.result), read_json(finished_run.result)
    assert result["studies"][0] == "tiny-search"
    search, retrain = (optuna.load_study(study_name=name, storage=storage).trials for name in result["studies"])
    assert Counter(trial.state.name for trial in search) == {"COMPLETE": 20}
    assert len({trial.user_attrs["nasrec:key"] for trial in search}) == 20
    assert len([trial for trial in retrain if trial.state.name in ("COMPLETE", "PRUNED")]) == len(retrain) == 6

    # With one worker at a time nothing differs from `nasrec-automl run`, times aside.
    assert {**result, "seconds": None} == {**alone, "seconds": None}
    assert run.report.is_file()
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **run.job.data.options}).frame.head(20)
    assert load_model(run.best).predict(frame).tolist() == load_model(finished_run.best).predict(frame).tolist()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_whatever_is_killed(experiment: Any, write_job: Callable[..., Path]) -> None:
    limit = 60  # more than a trial takes on a busy machine
    options = {"concurrency": 2, "search_trial": 5, "retrain_trial": 2, "retries": 9, "max_trial_duration": f"{limit}s"}
    job = write_job(experiment.folder, retrain={"max_epochs": 1}, experiment=options)
    write_experiment(job, experiment.file)
    run = RunFolder(load_job(job))
    id_ = experiment.create()

    experiment.until(run.weights.is_file)
    search = experiment.until(lambda: found_study(run, "search"))
    killed = experiment.until(lambda: workers(search))[0]
    os.kill(killed, signal.SIGKILL)
    # One that hangs until its time is up.
    stopped = experiment.until(lambda: set(workers(search)) - {killed}).pop()
    os.kill(stopped, signal.SIGSTOP)
    experiment.until(lambda: not psutil.pid_exists(stopped), seconds=2.0 * limit)

    experiment.until(run.top.is_file, seconds=300)
    retrain = experiment.until(lambda: found_study(run, "retrain"))
    beaten = experiment.until(lambda: workers(retrain))[0]
    os.kill(beaten, signal.SIGKILL)
    experiment.until(
        lambda: "retrain" in [trial.parameters["stage"] for trial in experiment.manager().trials() if trial.failed]
    )
    experiment.kill_manager(experiment.until(lambda: set(workers(retrain)) - {beaten}).pop())
    experiment.nnictl("resume", id_, "--port", str(experiment.port))
    manager = experiment.until_done(seconds=300)

    trials = manager.trials()
    assert sum(trial.failed for trial in trials) >= 3
    assert "search" in [trial.parameters["stage"] for trial in trials if trial.canceled_after(limit)]
    assert (trials[-1].parameters["stage"], trials[-1].status) == ("final", "SUCCEEDED")
    for study, target in ((search, 20), (retrain, 6)):
        assert not [trial for trial in study.trials if trial.state.name == "RUNNING"]
        finished = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
        assert len(finished) == target
        assert len({trial.user_attrs["nasrec:key"] for trial in finished}) == target
    assert {status.state for status in run_status(run)} == {"done"}
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **run.job.data.options}).frame.head(20)
    assert len(load_model(run.best).predict(frame)) == 20
