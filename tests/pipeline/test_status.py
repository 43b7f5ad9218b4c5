"""What a run is doing, read from its folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from nasrec_automl.config import load_job
from nasrec_automl.errors import StudyError
from nasrec_automl.heartbeat import INTERVAL
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.status import (
    STAGE_NAMES,
    StageStatus,
    earlier_result,
    final_is_noted,
    rank_status,
    run_status,
    tune_status,
)
from tests.pipeline.changed import changed

HOLD = """
import sys, time
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder

with RunFolder.open(sys.argv[1]).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(run: RunFolder, name: str) -> Iterator[None]:
    """Another process owns the folder, or one stage of it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path), name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def states(run: RunFolder) -> list[str]:
    return [status.state for status in run_status(run)]


def test_a_finished_run_is_done(finished_run: RunFolder) -> None:
    found = run_status(finished_run)
    assert [status.name for status in found] == list(STAGE_NAMES)
    assert {status.state for status in found} == {"done"}
    assert {status.waits_for for status in found} == {None}
    for status in found:
        assert status.progress is not None
        assert status.progress.done == status.progress.total
    assert "AUC" in found[1].progress.note


@pytest.mark.parametrize("find", [rank_status, tune_status])
def test_other_commands_prepare_the_data_first(
    tmp_path: Path, write_job: Callable[..., Path], copied_run: RunFolder, find: Callable[..., list[StageStatus]]
) -> None:
    run = RunFolder(load_job(write_job(tmp_path)))
    run.create()
    with held(run, "run"):
        first, second, _ = find(run)
    assert (first.name, first.state, second.waits_for) == ("data", "running", "data")
    copied_run.progress("data").unlink()  # as of data that were prepared before
    assert find(copied_run)[0].state == "done"


def test_the_supernet_of_a_rank_is_done_where_its_weights_are(copied_run: RunFolder) -> None:
    copied_run.progress("supernet").unlink()
    with held(copied_run, "run"):
        assert [status.state for status in rank_status(copied_run)] == ["done", "done", "running"]


def test_a_run_that_has_not_started_waits(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    run = RunFolder(load_job(write_job(tmp_path)))
    run.create()
    found = run_status(run)
    assert states(run) == ["waiting"] * 6
    assert [status.waits_for for status in found] == [None, *["data"] * 5]
    assert [status.progress for status in found] == [None] * 6


def test_a_broken_run_is_interrupted_and_the_rest_waits_for_it(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    assert states(copied_run) == ["done", "done", "interrupted", "waiting", "waiting", "waiting"]
    found = run_status(copied_run)
    assert found[2].progress is not None
    assert [status.waits_for for status in found] == [None, None, None, "search", "search", "search"]


def test_a_stage_that_failed_says_why_until_it_is_run_again(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied_run.top.unlink()
    errors = (StudyError("the database is gone"), OSError(28, "no space"))
    for error, said in zip(errors, ("the database is gone", "OSError: [Errno 28] no space"), strict=True):
        with monkeypatch.context() as patched:
            patched.setattr(SearchStage, "_run", Mock(side_effect=error))
            with pytest.raises(type(error)):
                SearchStage().run(copied_run)
        found = run_status(copied_run)
        assert (found[2].state, found[2].error) == ("failed", said)
        assert [status.error for status in found if status.name != "search"] == [None] * 5
        assert found[2].to_plain()["error"] == said
    with held(copied_run, "run"):
        assert run_status(copied_run)[2].error is None
    with monkeypatch.context() as patched:
        patched.setattr(SearchStage, "_run", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            SearchStage().run(copied_run)
    assert states(copied_run)[2] == "interrupted"


def test_a_run_that_somebody_owns_runs(copied_run: RunFolder) -> None:
    copied_run.result.unlink()
    for lock in ("run", "final"):
        with held(copied_run, lock):
            assert states(copied_run) == ["done"] * 4 + ["running", "waiting"]
        assert states(copied_run) == ["done"] * 4 + ["interrupted", "waiting"]


@pytest.mark.parametrize("apart", ["rank", "tune"])
def test_a_command_apart_runs_no_stage_of_the_job(copied_run: RunFolder, apart: str) -> None:
    copied_run.result.unlink()
    with held(copied_run, "run"), held(copied_run, apart):
        assert states(copied_run) == ["done"] * 4 + ["interrupted", "waiting"]
        with copied_run.at_work():
            assert states(copied_run) == ["done"] * 4 + ["running", "waiting"]


def test_the_clock_of_what_runs_goes_on_for_as_long_as_there_are_signs_of_life(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    path, now = copied_run.progress("search"), time.time()

    def seconds(updated: float) -> float:
        write_json(path, {**read_json(path), "updated": updated, "seconds": 100})
        found = next(status for status in run_status(copied_run) if status.name == "search").to_plain()
        return float(found["progress"]["seconds"])

    with held(copied_run, "run"):
        assert seconds(now - 5) >= 105
        assert seconds(now - 5) < 100 + INTERVAL
        # Written at an earlier start: this one has not come so far.
        assert seconds(now - 1e6) == pytest.approx(100 + INTERVAL)
    assert seconds(now - 5) == 100


def test_a_result_of_other_trainings_is_not_done(copied_run: RunFolder) -> None:
    copied_run.reported.unlink()
    assert states(copied_run) == ["done"] * 5 + ["interrupted"]
    noted = read_json(copied_run.retrain_done)
    write_json(copied_run.retrain_done, {**noted, "trainings": noted["trainings"] + 1})
    assert states(copied_run) == ["done"] * 4 + ["interrupted", "waiting"]


def test_a_result_of_the_same_trainings_is_done_whatever_was_asked_for(copied_run: RunFolder) -> None:
    noted = read_json(copied_run.retrain_done)
    write_json(copied_run.retrain_done, {**noted, "target": noted["target"] + 1, "timeout": "1h"})
    assert final_is_noted(copied_run)


def test_a_result_that_is_no_more_the_jobs_is_still_spoken_of(copied_run: RunFolder) -> None:
    test = read_json(copied_run.result)["test"]
    assert earlier_result(copied_run) is None
    copied_run.reported.unlink()
    assert earlier_result(copied_run) is None
    poor = changed(copied_run, "budget", macs=10)
    assert states(poor) == ["done", "done", "interrupted", "waiting", "waiting", "waiting"]
    line = earlier_result(poor)
    assert line is not None
    assert f"a log loss of {test['log_loss']:.4f} and an AUC of {test['auc']:.4f}" in line
    assert line.endswith(f"{copied_run.result} and {copied_run.best}")
    copied_run.final.unlink()  # `best` may hold another model already
    assert (earlier_result(copied_run) or "").endswith(str(copied_run.result))
    copied_run.result.unlink()
    assert earlier_result(copied_run) is None


def test_a_report_of_a_search_that_has_grown_is_not_done(copied_run: RunFolder) -> None:
    copied_run.top.write_text(copied_run.top.read_text() + "\n")
    assert states(copied_run) == ["done"] * 5 + ["interrupted"]


def test_a_copy_with_other_times_is_done(copied_run: RunFolder) -> None:
    os.utime(copied_run.report, (0, 0))
    assert states(copied_run) == ["done"] * 6


def test_looking_changes_nothing(copied_run: RunFolder) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in copied_run.path.rglob("*")}

    before = files()
    for root, _, _ in os.walk(copied_run.path):
        Path(root).chmod(0o555)
    try:
        states(copied_run)
    finally:
        for root, _, _ in os.walk(copied_run.path):
            Path(root).chmod(0o755)
    assert files() == before
