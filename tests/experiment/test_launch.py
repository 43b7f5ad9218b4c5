"""What of a launch needs no server; whole launches are in `test_experiment.py`."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Never
from unittest.mock import Mock

import pytest
import yaml

from nasrec_automl.errors import JobError, NasRecError, RunFolderError
from nasrec_automl.experiment import launch as module
from nasrec_automl.experiment.launch import launch
from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.run_folder import RunFolder


@pytest.fixture
def experiment_file(job_file: Path) -> Path:
    return write_experiment(job_file, job_file.with_name("experiment.yml"))


@pytest.mark.parametrize("text", ["", "tuner: {name: TPE}", "tuner: [", "tuner: {classArgs: 3}", "a: 2024-02-30"])
def test_a_file_that_is_no_experiment_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "experiment.yml"
    path.write_text(text)
    with pytest.raises(JobError, match=r"expected an experiment with tuner\.classArgs\.job"):
        launch(path)


def test_a_missing_file_and_a_missing_job_are_refused(tmp_path: Path, experiment_file: Path) -> None:
    with pytest.raises(
        JobError, match=r"missing\.yml: cannot be read \(No such file or directory\); `nasrec-automl exp"
    ):
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


def test_the_page_is_where_the_job_says_unless_a_port_is_asked_for(
    job_file: Path, experiment_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def create(path: Path, port: int) -> Never:
        asked.append(port)
        raise NasRecError("no experiment")

    monkeypatch.setattr(module, "_create", create)
    with socket.socket() as owner:
        owner.bind(("", 0))
        owner.listen()
        taken, free = owner.getsockname()[1], module._free(0)
        job = yaml.safe_load(job_file.read_text())
        job_file.write_text(yaml.safe_dump({**job, "experiment": {"port": free}}))
        with pytest.raises(NasRecError, match="no experiment"):
            launch(experiment_file)
        with pytest.raises(NasRecError, match=f"port {taken}: cannot be used"):
            launch(experiment_file, port=taken)
        job_file.write_text(yaml.safe_dump({**job, "experiment": {"port": taken}}))
        with pytest.raises(NasRecError, match="no experiment"):
            launch(experiment_file)
    assert asked[0] == free
    assert len(asked) == 2
    assert asked[1] != taken


def test_what_nnictl_refuses_is_an_error(experiment_file: Path) -> None:
    experiment_file.write_text(experiment_file.read_text().replace("trialConcurrency: 1", "trialConcurrency: x"))
    with pytest.raises(NasRecError, match=r"`nnictl create` failed: .*trial_concurrency"):
        launch(experiment_file)


@pytest.mark.parametrize("failed", [False, True])
def test_a_manager_that_answers_late_at_the_end_is_asked_again(monkeypatch: pytest.MonkeyPatch, failed: bool) -> None:
    monkeypatch.setattr(module, "_INTERVAL", 0)
    late = OSError("late")
    # After a resume NNI lists a trial whose machine it lost for ever, as one that has not ended.
    trials = [Mock(failed=not failed, ended=1), Mock(failed=failed, ended=2), Mock(failed=False, ended=None)]
    manager = Mock(**{"status.return_value": ("DONE", []), "trials.side_effect": [late, trials, trials]})
    manager.last_words.side_effect = [late, "the disk is full"]
    monkeypatch.setattr(module, "Manager", lambda url: manager)
    with pytest.raises(NasRecError, match="the disk is full") if failed else nullcontext():
        module._wait(ExperimentNote(id="abc", url="http://localhost:1"))
    assert manager.trials.call_count == (3 if failed else 2)


def test_interrupted_while_the_manager_starts_it_stops_that_though_it_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []

    def nnictl(*arguments: str) -> Mock:
        calls.append(arguments)
        ends = [KeyboardInterrupt, ("", None)] if arguments[0] == "create" else [("", None)]
        return Mock(returncode=0, **{"communicate.side_effect": ends})

    monkeypatch.setattr(module, "_nnictl", nnictl)
    with socket.socket() as nobody:
        nobody.bind(("", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(KeyboardInterrupt):
            module._create(tmp_path / "experiment.yml", port)
    assert calls[1:] == [("stop", "--port", str(port))]


def test_another_port_is_taken_where_the_wanted_one_is_in_use() -> None:
    with socket.socket() as owner:
        owner.bind(("", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        assert module._free_port(taken) != taken
        with pytest.raises(NasRecError, match=f"port {taken}: cannot be used .* choose another one"):
            module._free(taken)
    assert module._free_port(taken) == module._free(taken) == taken
