from __future__ import annotations

from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.pipeline.run_folder import RunFolder


def test_is_read_as_it_was_written(run: RunFolder) -> None:
    assert ExperimentNote.read(run) is None
    note = ExperimentNote(id="abc", url="http://localhost:9")
    note.write(run)
    assert ExperimentNote.read(run) == note


def test_has_no_manager_where_nobody_answers() -> None:
    assert ExperimentNote(id="abc", url="http://localhost:9").manager() is None
