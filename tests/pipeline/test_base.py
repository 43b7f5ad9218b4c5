"""What all stages have in common."""

import time
from contextlib import nullcontext

import pytest

from nasrec_automl.config import DataConfig, Job
from nasrec_automl.errors import JobError, RunFolderError, StudyError
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.progress import ProgressWriter, read_progress
from nasrec_automl.pipeline.run_folder import RunFolder


class Count(Stage):
    """Counts its runs."""

    name = "count"

    def __init__(self) -> None:
        self.calls: list[int | None] = []

    def units(self, run: RunFolder) -> tuple[int, int]:
        return len(self.calls), 2

    def settings(self, run: RunFolder) -> dict[str, int]:
        return {"seed": run.job.seed}

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        self.calls.append(count)
        on_metrics({"log_loss": 0.5})
        return {"log_loss": 0.4}


class Shared(Count):
    name = "count"
    parallel = True


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(Job(name="mine", run_folder=tmp_path / "run", data=DataConfig(source="synthetic")))


def test_it_is_done_when_all_units_are(run: RunFolder) -> None:
    stage = Count()
    assert not stage.is_done(run)
    assert stage.run(run) == {"log_loss": 0.4}
    assert not stage.is_done(run)
    stage.run(run)
    assert stage.is_done(run)


def test_metrics_reach_who_listens(run: RunFolder) -> None:
    heard = []
    Count().run(run, on_metrics=heard.append)
    assert heard == [{"log_loss": 0.5}]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_what_another_process_noted_is_not_the_stages_own(run: RunFolder, error: BaseException | None) -> None:
    class Helped(Shared):
        def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
            run.failure(self.name).parent.mkdir(exist_ok=True)
            run.failure(self.name).write_text("a helper lost its connection")
            if error is not None:
                raise error
            return {}

    with nullcontext() if error is None else pytest.raises(KeyboardInterrupt):
        Helped().run(run)
    assert not run.failure("count").exists()


def test_a_stage_has_one_owner_unless_it_is_parallel(run: RunFolder) -> None:
    stage, shared = Count(), Shared()
    run.create()
    with run.lock("count"):
        with pytest.raises(RunFolderError, match="in use by process"):
            stage.run(run)
        assert stage.calls == []
        shared.run(run, count=3)
    assert shared.calls == [3]


class Interrupted(Count):
    """Is stopped before it has done anything."""

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        raise KeyboardInterrupt


def other_seed(run: RunFolder) -> RunFolder:
    return RunFolder(run.job.model_copy(update={"seed": 1}))


def test_a_start_that_left_nothing_holds_nobody_to_its_settings(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Interrupted().run(run)
    stage = Count()
    stage.run(other_seed(run))
    with pytest.raises(JobError, match=r"seed: the count stage .* was started with 1"):
        stage.run(run)


def test_a_look_at_the_settings_changes_none(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Interrupted().run(run)
    Interrupted().check(other_seed(run))
    assert run.noted("count") == {"seed": run.job.seed}
    stage = Count()
    stage.run(run)
    stage.check(run)
    with pytest.raises(JobError, match="seed"):
        stage.check(other_seed(run))


@pytest.mark.parametrize("end", [KeyboardInterrupt(), StudyError("the database cannot be used")])
def test_a_stage_that_others_may_have_begun_keeps_its_settings(run: RunFolder, end: BaseException) -> None:
    class Other(Shared):
        def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
            raise end

    with pytest.raises(type(end)):
        Other().run(run)
    with pytest.raises(JobError, match="seed"):
        Shared().run(other_seed(run))


class Slow(Count):
    """Is stopped long after it has last said anything."""

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        ProgressWriter(run.progress(self.name), unit="steps", total=2)
        time.sleep(0.5)
        raise KeyboardInterrupt


def test_its_time_counts_until_it_is_stopped(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Slow().run(run)
    progress = read_progress(run.progress("count"))
    assert progress is not None
    assert progress.seconds >= 0.5
