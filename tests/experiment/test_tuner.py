from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from nasrec_automl.errors import RunFolderError, StudyError
from nasrec_automl.experiment.manager import TrialJob
from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.experiment.tuner import StageTuner
from nasrec_automl.pipeline.run_folder import RunFolder


class FakeManager:
    """Keeps the trials as NNI's manager would, and hands their ends to the tuner."""

    url = "http://localhost:1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: list[TrialJob] = []
        self.finished = False
        self.roomy = 0
        self.late: set[int] = set()

    def profile(self) -> dict[str, Any]:
        return {"id": "abc", "params": {"trialCodeDirectory": str(self.folder)}}

    def trials(self) -> list[TrialJob]:
        return self.jobs

    def add(self, parameters: dict[str, Any], status: str = "RUNNING") -> None:
        number = len(self.jobs)
        self.jobs.append(
            TrialJob(
                id=f"t{number}", parameter_id=number, started=None, ended=None, status=status, parameters=parameters
            )
        )

    def out_of_time(self, parameter_id: int) -> bool:
        return parameter_id in self.late

    def last_words(self) -> str:
        return "disk is full"

    def make_room(self) -> None:
        self.roomy += 1

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def manager(tmp_path: Path) -> FakeManager:
    return FakeManager(tmp_path)


@pytest.fixture
def make(manager: FakeManager, pipeline: ModuleType, run: RunFolder) -> Callable[..., Any]:
    class Tuner(StageTuner):
        sent: list[tuple[int, dict[str, Any]]]

        def _connect(self) -> Any:
            self.sent = []
            return manager

        def _stages(self) -> Any:
            return pipeline.STAGES

        def ask(self, *ids: int) -> list[dict[str, Any]]:
            issued = self.generate_multiple_parameters(
                list(ids), st_callback=lambda id_, parameters: self.note(id_, parameters)
            )
            for parameters in issued:
                manager.add(parameters)
            return [without_folder(parameters) for parameters in issued]

        def note(self, id_: int, parameters: dict[str, Any]) -> None:
            self.sent.append((id_, without_folder(parameters)))
            manager.add(parameters)

    def without_folder(parameters: dict[str, Any]) -> dict[str, Any]:
        if "error" in parameters:
            return parameters
        assert parameters["run_folder"] == str(run.path)
        return {name: value for name, value in parameters.items() if name != "run_folder"}

    return Tuner


@pytest.fixture
def tuner(make: Callable[..., Any], job_file: Path) -> Any:
    return make(job=job_file.name)


def do(run: RunFolder, pipeline: ModuleType, *stages: str) -> None:
    for stage in stages:
        pipeline.STAGES[stage].run(run)


def test_runs_a_job_from_start_to_end(tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager) -> None:
    assert tuner.ask(0) == [{"stage": "supernet"}]
    do(run, pipeline, "data", "supernet")
    tuner.trial_end(0, True)
    assert tuner.ask(1) == [{"stage": "search", "count": 5}]
    do(run, pipeline, "search", "retrain")
    tuner.trial_end(1, True)
    assert tuner.ask(2) == [{"stage": "final"}]
    do(run, pipeline, "final", "report")
    assert not manager.finished
    assert tuner.ask(3) == []
    assert manager.finished
    assert tuner.sent == []


def test_holds_trials_back_and_issues_them_when_a_stage_ends(tuner: Any, run: RunFolder, pipeline: ModuleType) -> None:
    assert tuner.ask(0, 1, 2) == [{"stage": "supernet"}]
    assert tuner.sent == []
    do(run, pipeline, "data", "supernet")
    tuner.trial_end(0, True)
    assert tuner.sent == [(1, {"stage": "search", "count": 5}), (2, {"stage": "search", "count": 5})]


def test_owns_the_run_folder_until_the_end(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager
) -> None:
    tuner.ask(0)
    assert ExperimentNote.read(run) == ExperimentNote(id="abc", url=manager.url)
    with pytest.raises(RunFolderError, match="in use"), run.lock():
        pass
    do(run, pipeline, *pipeline.STAGES)
    tuner.trial_end(0, True)
    tuner.ask(1)
    with run.lock():
        pass


def test_after_the_end_it_asks_for_the_folder_again(tuner: Any, run: RunFolder, pipeline: ModuleType) -> None:
    """The page stays open, and someone may raise the number of trials while another process goes on with the job."""
    tuner.ask(0)
    do(run, pipeline, *pipeline.STAGES)
    tuner.trial_end(0, True)
    tuner.ask(1)
    pipeline.STAGES["search"].done(run)[0].unlink()  # the job asks for more
    with run.lock():
        (trial,) = tuner.ask(2)
        assert trial["stage"] == "none"
        assert "in use" in trial["error"]


def test_after_the_end_an_edited_job_is_not_begun(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager, job_file: Path
) -> None:
    """With a concurrency of 2 a request comes after the end of every experiment."""
    tuner.ask(0)
    do(run, pipeline, *pipeline.STAGES)
    tuner.trial_end(0, True)
    assert tuner.ask(1) == []
    asked = manager.roomy
    job_file.write_text(job_file.read_text().replace("name: fake", "name: fake\nrun_folder: another"))
    assert tuner.ask(2) == []
    assert manager.roomy == asked
    assert not (job_file.parent / "another").exists()


def test_what_trials_that_were_killed_at_the_end_of_their_stage_left_goes(
    tuner: Any, run: RunFolder, pipeline: ModuleType
) -> None:
    run.create()
    do(run, pipeline, "data", "supernet")
    done, begun = (run.path / f"checkpoint-{stage}-0" for stage in ("supernet", "search"))
    for left in (done, begun):
        left.touch()
    tuner.ask(0)
    assert not done.exists()
    assert begun.exists(), "its stage goes on with it"


def test_a_finished_folder_takes_one_trial_that_shows_its_result(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager
) -> None:
    do(run, pipeline, *pipeline.STAGES)
    assert tuner.ask(0) == [{"stage": "final"}]
    assert tuner.ask(1) == []
    assert not manager.finished
    tuner.trial_end(0, True)
    assert manager.finished


def test_where_the_manager_does_not_answer_the_end_comes_with_the_next_request(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.create()
    do(run, pipeline, *pipeline.STAGES)
    assert tuner.ask(0) == [{"stage": "final"}]
    with monkeypatch.context() as silent:
        silent.setattr(manager, "finish", Mock(side_effect=TimeoutError))
        tuner.trial_end(0, True)
        assert tuner.ask(1) == []
    assert not manager.finished
    assert tuner.ask(2) == []
    assert manager.finished


@pytest.mark.parametrize("silent", ["finish", "trials"])
def test_a_manager_that_does_not_answer_at_the_very_end_does_not_make_the_experiment_a_failed_one(
    tuner: Any,
    run: RunFolder,
    pipeline: ModuleType,
    manager: FakeManager,
    monkeypatch: pytest.MonkeyPatch,
    silent: str,
) -> None:
    tuner.ask(0)
    do(run, pipeline, "data", "supernet", "search", "retrain", "final", "report")
    with monkeypatch.context() as busy:
        busy.setattr(manager, silent, Mock(side_effect=TimeoutError))
        tuner.trial_end(0, True)
        assert tuner.ask(1) == [{"stage": "final"}], "one more occasion, and a trial that succeeds"
    assert not manager.finished
    tuner.trial_end(1, True)
    assert manager.finished


def test_a_stage_that_fails_ends_the_experiment_with_one_trial_that_says_why(tuner: Any, manager: FakeManager) -> None:
    tuner.ask(0, 1)
    tuner.trial_end(0, False)
    (issued,) = tuner.sent
    assert issued[0] == 1
    assert issued[1]["error"] == "the supernet stage failed; its last trial said: disk is full"
    assert tuner.ask(2) == []
    assert not manager.finished
    tuner.trial_end(1, False)
    assert manager.finished


def test_a_trial_out_of_time_is_told_from_a_failed_one(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager
) -> None:
    tuner.ask(0, 1)
    do(run, pipeline, "data")
    manager.late = {0}
    tuner.trial_end(0, False)
    assert tuner.sent == [(1, {"stage": "supernet"})]


def test_an_error_waits_for_what_still_runs(tuner: Any, run: RunFolder, pipeline: ModuleType) -> None:
    do(run, pipeline, "data", "supernet")
    assert len(tuner.ask(0, 1)) == 2
    tuner.trial_end(0, False)
    assert tuner.ask(2) == []
    assert tuner.sent == []
    tuner.trial_end(1, False)
    ((id_, parameters),) = tuner.sent
    assert id_ == 2
    assert "search stage failed" in parameters["error"]


def test_after_a_resume_one_trial_waits_beside_that_of_before_and_all_go_on_after_it(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager
) -> None:
    manager.add({"stage": "supernet"})  # NNI runs it again, and says nothing of its end
    assert tuner.ask(5, 6) == [{"stage": "supernet"}]
    do(run, pipeline, "data", "supernet")
    tuner.trial_end(5, True)
    assert tuner.sent == [(6, {"stage": "search", "count": 5})]
    assert manager.roomy == 1


def test_the_end_of_a_trial_that_was_made_on_nni_s_page_ends_nothing(
    tuner: Any, run: RunFolder, pipeline: ModuleType, manager: FakeManager
) -> None:
    assert tuner.ask(0) == [{"stage": "supernet"}]
    tuner.trial_end(None, True)
    assert not manager.finished
    do(run, pipeline, "data", "supernet")
    tuner.trial_end(0, True)
    assert tuner.ask(1) == [{"stage": "search", "count": 5}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "classArgs.job: expected the path of a job file, but it is ''"),
        ({"job": "missing.yaml"}, "missing.yaml: no such job file"),
        ({"job": "job.yaml", "optimize_mode": "maximize"}, "optimize_mode: expected `minimize`"),
        ({"job": "job.yaml", "jobs": 2}, "no such argument: jobs"),
    ],
)
def test_bad_arguments_become_a_trial_that_fails(
    make: Callable[..., Any], job_file: Path, manager: FakeManager, arguments: dict[str, Any], sentence: str
) -> None:
    tuner = make(**arguments)
    tuner.update_search_space({})
    (parameters,) = tuner.ask(0)
    assert sentence in parameters["error"]
    tuner.trial_end(0, False)
    assert manager.finished


def test_a_job_that_is_refused_leaves_the_run_as_it_is(tuner: Any, run: RunFolder, manager: FakeManager) -> None:
    run.create()
    (run.path / "job.json").write_text("the job of before")
    ExperimentNote(id="before", url=manager.url).write(run)
    (run.path / "wrong-retrain").write_text("retrain.space: the retrain stage was started with other ones")
    (parameters,) = tuner.ask(0)
    assert parameters["error"] == "retrain.space: the retrain stage was started with other ones"
    assert (run.path / "job.json").read_text() == "the job of before"
    assert ExperimentNote.read(run) == ExperimentNote(id="before", url=manager.url)


def test_what_a_user_may_want_to_change_is_in_the_dispatchers_log(
    tuner: Any, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    run.create()
    (run.path / "doubtful-search").touch()
    tuner.ask(0)
    assert "search may be wrong" in caplog.text


def test_a_folder_in_use_becomes_a_trial_that_fails(tuner: Any, run: RunFolder) -> None:
    with run.lock():
        (parameters,) = tuner.ask(0)
    assert "in use by process" in parameters["error"]


def test_an_unexpected_exception_kills_nothing(
    tuner: Any, pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch, manager: FakeManager
) -> None:
    def broken(stage: Any, run: RunFolder) -> None:
        raise ZeroDivisionError("division by zero")

    tuner.ask(0, 1)
    monkeypatch.setattr(pipeline.FakeStage, "is_done", broken)
    tuner.trial_end(0, True)
    assert tuner.sent[0][1]["error"] == "ZeroDivisionError: division by zero"


def test_an_end_that_cannot_be_looked_into_is_not_held_against_the_experiment(
    tuner: Any, run: RunFolder, pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(stage: Any, run: RunFolder) -> None:
        raise StudyError("the database was restarted")

    tuner.ask(0)
    do(run, pipeline, "data", "supernet")
    with monkeypatch.context() as patched:
        patched.setattr(pipeline.FakeStage, "is_done", unreachable)
        tuner.trial_end(0, True)
    assert tuner.ask(1) == [{"stage": "search", "count": 5}]


def test_is_light_to_import() -> None:
    code = (
        "import sys; before = set(sys.modules); import nasrec_automl.experiment.tuner; "
        "print([m for m in ('torch', 'optuna', 'pytorch_lightning', 'nni.nas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
