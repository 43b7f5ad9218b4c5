"""What of a launch needs no server; whole launches are in `test_experiment.py`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nasrec_automl.errors import JobError, NasRecError, RunFolderError
from nasrec_automl.experiment import launch as module
from nasrec_automl.experiment.launch import launch
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.run_folder import RunFolder


@pytest.fixture
def experiment_file(job_file: Path) -> Path:
    return write_experiment(job_file, job_file.with_name("experiment.yml"))


@pytest.mark.parametrize("text", ["", "tuner: {name: TPE}", "tuner: [", "tuner: {classArgs: 3}"])
def test_a_file_that_is_no_experiment_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "experiment.yml"
    path.write_text(text)
    with pytest.raises(JobError, match=r"expected an experiment with tuner\.classArgs\.job"):
        launch(path)


def test_a_missing_file_and_a_missing_job_are_refused(tmp_path: Path, experiment_file: Path) -> None:
    with pytest.raises(JobError, match=r"missing\.yml: expected an experiment"):
        launch(tmp_path / "missing.yml")
    (tmp_path / "job.yaml").unlink()
    with pytest.raises(JobError, match=r"job\.yaml: no such job file"):
        launch(experiment_file)


def test_a_folder_in_use_is_refused_before_anything_starts(
    experiment_file: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    monkeypatch.setattr(module, "_create", lambda path, port: pytest.fail("an experiment was created"))
    with run.lock(), pytest.raises(RunFolderError, match="in use by process"):
        launch(experiment_file)


def test_what_nnictl_refuses_is_an_error(experiment_file: Path) -> None:
    experiment_file.write_text(experiment_file.read_text().replace("trialConcurrency: 1", "trialConcurrency: x"))
    with pytest.raises(NasRecError, match=r"`nnictl create` failed: .*trial_concurrency"):
        launch(experiment_file)


def test_another_port_is_taken_where_the_wanted_one_is_in_use() -> None:
    with socket.socket() as owner:
        owner.bind(("", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        assert module._free_port(taken) != taken
    assert module._free_port(taken) == taken
