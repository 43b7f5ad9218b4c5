"""What stages note at their end is read as it was written."""

from pathlib import Path

import pytest

from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.files import write_json
from nasrec_automl.pipeline.outcomes import (
    FinalOutcome,
    RetrainOutcome,
    SearchOutcome,
    note_verdict,
    read_result,
    read_verdict,
)
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.verdict import Verdict


def test_what_stages_have_noted_is_read_and_written_unchanged(finished_run: RunFolder, tmp_path: Path) -> None:
    paths = ((SearchOutcome, finished_run.top), (RetrainOutcome, finished_run.retrain_done))
    for kind, path in (*paths, (FinalOutcome, finished_run.final)):
        found = kind.read(path)
        assert found is not None
        found.write(tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        assert kind.read(tmp_path / path.name) == found


def test_a_stage_that_has_not_ended_has_noted_nothing(tmp_path: Path) -> None:
    assert SearchOutcome.read(tmp_path / "top.json") is None


@pytest.mark.parametrize("content", [{}, [], {"study": "a", "target": "many", "timeout": None, "trainings": 1}])
def test_the_note_of_another_version_is_an_error_that_says_what_to_do(content: object, tmp_path: Path) -> None:
    write_json(tmp_path / "finished.json", content)
    with pytest.raises(RunFolderError, match=r"finished\.json: is of another version .*; delete it"):
        RetrainOutcome.read(tmp_path / "finished.json")


@pytest.mark.parametrize("content", [{}, [], {"architectures": [], "log_losses": [], "ranking": {"tau": 0.5}}])
def test_so_is_the_verdict_of_another_version(content: object, copied_run: RunFolder) -> None:
    write_json(copied_run.verdict, content)
    with pytest.raises(RunFolderError, match=r"verdict\.json: is of another version .* in another run_folder"):
        read_verdict(copied_run)


def test_so_is_the_result_of_another_version(copied_run: RunFolder) -> None:
    assert read_result(copied_run)["test"]
    write_json(copied_run.result, {"test": {"log_loss": 0.5}})
    with pytest.raises(RunFolderError, match=r"result\.json: is of another version .*; delete it"):
        read_result(copied_run)


def test_of_workers_that_end_the_check_at_once_the_first_ones_counts(copied_run: RunFolder) -> None:
    assert read_verdict(copied_run) is None
    first = Verdict(architectures=[{"block1/fm": True}], log_losses=[0.5], ranking=None)
    note_verdict(copied_run, first)
    note_verdict(copied_run, Verdict(architectures=[], log_losses=[], ranking=None))
    assert read_verdict(copied_run) == first
