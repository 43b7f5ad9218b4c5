"""Whole experiments under the real `nnictl`, with stages that only sleep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest
import yaml

from nasrec_automl.errors import NasRecError
from nasrec_automl.experiment.launch import launch


def launch_in_background(experiment: Any) -> subprocess.Popen[str]:
    call = f"launch({str(experiment.file)!r}, port={experiment.port})"
    # As the command line does: the signal may come where Python drops what it raises.
    code = (
        "from nasrec_automl.experiment.launch import launch\n"
        "from nasrec_automl.interrupts import no_lost_interrupts\n"
        f"with no_lost_interrupts():\n    print({call})"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_runs_to_done_and_a_second_run_finds_everything_done(experiment: Any, on_status: Any) -> None:
    experiment.write()
    seen = []

    def follow() -> None:
        manager = experiment.manager()
        seen.append((manager.status()[0], len(manager.trials())))

    on_status(follow)
    launch(experiment.file, port=experiment.port)
    assert experiment.finished()
    assert [stage for stage, _, _ in experiment.runs()] == [
        *("data", "supernet", "search", "search", "retrain", "final", "report")
    ]
    assert seen[-1] == ("DONE", 5)
    assert not experiment.processes()

    launch(experiment.file, port=experiment.port)
    assert seen[-1] == ("DONE", 1)
    assert not experiment.processes()


@pytest.mark.slow
def test_a_failure_is_the_error_of_the_launch_and_the_experiment_ends(experiment: Any) -> None:
    experiment.write()
    (experiment.run.path / "fail-supernet").write_text("ratings.csv: expected 4 columns, but there are 3")
    with pytest.raises(NasRecError, match=r"^the supernet stage failed.*ratings.csv: expected 4 columns"):
        launch(experiment.file, port=experiment.port)
    assert not experiment.processes()


def test_a_bad_job_is_a_failed_trial_with_the_sentence(experiment: Any) -> None:
    experiment.write()
    job = yaml.safe_load((experiment.folder / "job.yaml").read_text())
    (experiment.folder / "job.yaml").write_text(yaml.safe_dump(job | {"sead": 1}))
    experiment.nnictl("create", "--config", str(experiment.file), "--port", str(experiment.port))
    manager = experiment.until_done()
    assert [trial.status for trial in manager.trials()] == ["FAILED"]
    assert "sead: no such field" in manager.last_words()


@pytest.mark.slow
def test_a_run_folder_in_use_is_refused_until_it_is_free(experiment: Any) -> None:
    experiment.write()
    with experiment.run.lock():
        experiment.nnictl("create", "--config", str(experiment.file), "--port", str(experiment.port))
        manager = experiment.until_done()
        assert "in use by process" in manager.last_words()
    id_ = manager.profile()["id"]
    experiment.nnictl("stop", id_)
    experiment.nnictl("resume", id_, "--port", str(experiment.port))
    experiment.until(lambda: experiment.finished())
    experiment.until_done()


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "done"), [("supernet", 0), ("search", 3), ("retrain", 1), ("final", 0)])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_goes_on_after_a_stop_and_a_killed_manager(experiment: Any, stage: str, done: int, how: str) -> None:
    experiment.write(missing=(stage,))
    hold = experiment.run.path / f"hold-{stage}"
    hold.write_text(str(done))
    id_ = experiment.create()
    pid = experiment.until(lambda: experiment.started(stage))
    experiment.until(lambda: experiment.units(stage) == done)
    if how == "stop":
        experiment.nnictl("stop", id_)
    else:
        experiment.kill_manager(pid)
    assert not experiment.finished()
    experiment.nnictl("resume", id_, "--port", str(experiment.port))
    # The one of before must not write beside the new one.
    experiment.until(lambda: experiment.started(stage) != pid)
    assert not alive(pid)
    assert experiment.units(stage) == done
    hold.unlink()
    experiment.until_done()
    assert experiment.finished()


@pytest.mark.slow
def test_trials_out_of_time_go_on_from_what_they_wrote(experiment: Any) -> None:
    # On a busy machine a trial needs seconds to begin.
    experiment.write(missing=("retrain",), max_trial_duration="15s")
    hold = experiment.run.path / "hold-retrain"
    hold.write_text("1")
    experiment.create()
    pid = experiment.until(lambda: experiment.started("retrain"))
    experiment.until(lambda: experiment.started("retrain") != pid)
    assert not alive(pid)
    assert experiment.units("retrain") == 1
    hold.unlink()
    manager = experiment.until_done()
    assert experiment.finished()
    first, second = [(trial.parameters["stage"], trial.status) for trial in manager.trials()]
    assert first in [("retrain", "EARLY_STOPPED"), ("retrain", "USER_CANCELED")]
    assert second == ("retrain", "SUCCEEDED")


@pytest.mark.slow
def test_trials_that_only_run_out_of_time_are_an_error_that_says_what_to_do(experiment: Any) -> None:
    # The trial that says so has no more time than the others; on a busy machine it needs seconds to begin.
    experiment.write(seconds=60.0, missing=("supernet",), max_trial_duration="15s", retries=1)
    with pytest.raises(NasRecError, match=r"supernet stage failed 2 times .*raise experiment\.max_trial_duration"):
        launch(experiment.file, port=experiment.port)
    assert not experiment.processes()


@pytest.mark.slow
def test_a_killed_trial_is_tried_again(experiment: Any) -> None:
    experiment.write(seconds=1.0, missing=("supernet", "retrain"), retries=1)
    experiment.create()
    for stage in ("supernet", "retrain"):
        os.kill(experiment.until(lambda stage=stage: experiment.started(stage)), signal.SIGKILL)
    experiment.until_done()
    assert experiment.finished()


@pytest.mark.slow
def test_a_cancelled_trial_is_tried_again(experiment: Any) -> None:
    experiment.write(seconds=2.0, missing=("supernet",), retries=1)
    experiment.create()
    experiment.until(lambda: experiment.started("supernet"))
    manager = experiment.manager()
    manager._read("DELETE", f"trial-jobs/{manager.trials()[0].id}")
    experiment.until_done()
    assert [trial.status for trial in manager.trials()][:2] == ["USER_CANCELED", "SUCCEEDED"]
    assert experiment.finished()


@pytest.mark.slow
def test_several_trials_search_at_once(experiment: Any) -> None:
    experiment.write(seconds=0.5, missing=("supernet", "search"), search_trial=2, concurrency=2)
    experiment.create()
    manager = experiment.until_done()
    assert [trial.parameters["stage"] for trial in manager.trials()].count("supernet") == 1
    assert len({pid for stage, _, pid in experiment.runs() if stage == "search"}) >= 5
    assert experiment.units("search") in (10, 11)  # the fake counts without a lock


@pytest.mark.slow
def test_an_interrupted_launch_stops_the_experiment(experiment: Any) -> None:
    experiment.write(seconds=4.0, missing=("supernet",))
    process = launch_in_background(experiment)
    experiment.until(lambda: experiment.started("supernet"))
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert not experiment.processes()


@pytest.mark.slow
def test_a_launch_that_is_interrupted_while_the_manager_starts_leaves_none(experiment: Any) -> None:
    experiment.write(seconds=4.0, missing=("supernet",))
    process = launch_in_background(experiment)
    experiment.until(lambda: any("create" in child.cmdline() for child in psutil.Process(process.pid).children()))
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode != 0
    known = json.loads((experiment.folder / "nni-experiments" / ".experiment").read_text())
    assert [one["port"] for one in known.values()] == [experiment.port], "it had started"
    assert not experiment.processes()


@pytest.mark.slow
def test_a_launch_joins_the_experiment_of_a_killed_one(experiment: Any) -> None:
    experiment.write(seconds=4.0, missing=("supernet",))
    process = launch_in_background(experiment)
    experiment.until(lambda: experiment.started("supernet"))
    process.kill()
    id_ = experiment.manager().profile()["id"]
    assert launch(experiment.file, port=experiment.port) == id_
    assert experiment.finished()
    assert not experiment.processes()


@pytest.mark.slow
def test_a_killed_tuner_is_an_error_and_no_hang(experiment: Any) -> None:
    experiment.write(seconds=4.0, missing=("supernet",))
    process = launch_in_background(experiment)
    experiment.until(lambda: experiment.started("supernet"))
    tuners = [p for p in experiment.processes() if "--exp_params" in p.cmdline()]
    for tuner in tuners:
        tuner.kill()
    assert process.wait(90) != 0
    assert not experiment.processes()
