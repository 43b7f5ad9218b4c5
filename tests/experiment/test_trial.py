from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nasrec_automl.config import load_job
from nasrec_automl.config_experiment import ExperimentConfig
from nasrec_automl.experiment import trial, trial_process
from nasrec_automl.pipeline.run_folder import RunFolder


class Channel:
    """What NNI's trial command channel does, in memory."""

    def __init__(self, parameters: Any) -> None:
        self.record = None if parameters is None else {"parameter_id": 7, "parameters": parameters}
        self.sent: list[dict[str, Any]] = []

    def receive_parameter(self) -> Any:
        return self.record

    def send_metric(self, **metric: Any) -> None:
        self.sent.append(metric)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, pipeline: ModuleType, job_file: Path, run: RunFolder) -> Any:
    run.create()  # as the tuner does
    monkeypatch.setattr(trial, "watch_manager", lambda: None)
    monkeypatch.setattr(trial_process.signal, "signal", lambda *arguments: None)

    def start(parameters: Any, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        if parameters and "error" not in parameters:
            parameters = {"run_folder": str(run.path), **parameters}
        channel = Channel(parameters)
        monkeypatch.setattr(trial_process, "get_default_trial_command_channel", lambda: channel)
        return trial.main(arguments, stages=pipeline.STAGES), channel.sent

    return start


def test_runs_what_it_is_given_and_reports_log_loss(start: Any, run: RunFolder, pipeline: ModuleType) -> None:
    code, sent = start({"stage": "search", "count": 2})
    assert code == 0
    assert pipeline.STAGES["search"].units(run) == (2, 10)
    assert [(m["type"], m["parameter_id"], m["sequence"]) for m in sent] == [
        ("PERIODICAL", 7, 0),
        ("PERIODICAL", 7, 1),
        ("FINAL", 7, 0),
    ]
    assert {tuple(sorted(metric["value"].items())) for metric in sent} == {(("auc", 0.75), ("default", 0.5))}


def test_a_stage_that_another_process_is_at_is_waited_for(
    start: Any,
    run: RunFolder,
    pipeline: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    others = run.lock("supernet")
    others.__enter__()
    monkeypatch.setattr(trial, "time", SimpleNamespace(sleep=lambda seconds: others.__exit__(None, None, None)))
    stage = pipeline.STAGES["supernet"]
    real = type(stage).run

    def locked(self: Any, *arguments: Any, **options: Any) -> Any:
        if self is not stage:
            return real(self, *arguments, **options)
        with run.lock("supernet"):
            return real(self, *arguments, **options)

    monkeypatch.setattr(type(stage), "run", locked)
    code, sent = start({"stage": "supernet"})
    assert (code, sent[-1]["type"]) == (0, "FINAL")
    assert stage.done(run)
    assert capsys.readouterr().err.count("waits: ") == 1


@pytest.mark.parametrize(("stage", "stages"), [("supernet", ["data", "supernet"]), ("final", ["final", "report"])])
def test_a_trial_runs_the_stages_beside_its_own(
    start: Any, run: RunFolder, pipeline: ModuleType, stage: str, stages: list[str]
) -> None:
    code, sent = start({"stage": stage})
    assert code == 0
    assert [name for name, each in pipeline.STAGES.items() if each.done(run)] == stages
    assert sent[-1]["type"] == "FINAL"


def test_the_job_is_what_the_tuner_has_noted(
    start: Any, run: RunFolder, job_file: Path, pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was edited for the next run is of no concern to this one, nor is the folder that it names now."""
    job_file.write_text(job_file.read_text().replace("name: fake", "name: next") + "seed: 7\nrun_folder: next\n")
    edited = load_job(job_file)
    assert (edited.seed, RunFolder(edited).path) != (run.job.seed, run.path)
    seen: list[int] = []
    stage = pipeline.STAGES["search"]
    real = type(stage).run

    def noting(self: Any, run: RunFolder, **options: Any) -> Any:
        seen.append(run.job.seed)
        return real(self, run, **options)

    monkeypatch.setattr(type(stage), "run", noting)
    assert start({"stage": "search", "count": 1})[0] == 0
    assert seen == [run.job.seed]


@pytest.mark.parametrize(("stage", "shared"), [("supernet", 0), ("search", 1), ("retrain", 1), ("final", 0)])
def test_trials_that_run_side_by_side_share_the_cores_and_one_alone_has_workers(
    start: Any, pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch, stage: str, shared: int
) -> None:
    calls: list[ExperimentConfig] = []
    workers: list[int] = []
    monkeypatch.setattr(trial, "share_cores", calls.append)
    monkeypatch.setattr(trial, "trials_of_a_machine", lambda config: 3)
    real = type(pipeline.STAGES[stage]).run

    def noting(*arguments: Any, **options: Any) -> Any:
        workers.append(options["workers"])
        return real(*arguments, **options)

    monkeypatch.setattr(type(pipeline.STAGES[stage]), "run", noting)
    assert start({"stage": stage, "count": 1})[0] == 0
    assert len(calls) == shared
    assert workers[-1] == (1 if shared else 3)


@pytest.mark.parametrize(
    ("parameters", "arguments", "sentence"),
    [
        ({"stage": "none", "error": "age: no such column"}, (), "error: age: no such column"),
        ({"stage": "serach"}, (), "error: stage: expected one of supernet, search"),
        ({"stage": "search", "run_folder": "/gone"}, (), "error: /gone: not a run folder"),
        ({"stage": "search"}, ("a",), "error: trialCommand: expected no arguments"),
        ({}, (), "error: NNI has no parameters for this trial"),
        (None, (), "error: NNI has no parameters for this trial"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_1(
    start: Any,
    capsys: pytest.CaptureFixture[str],
    parameters: Any,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    assert start(parameters, *arguments) == (1, [])
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1
