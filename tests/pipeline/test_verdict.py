"""Where a run keeps its verdict."""

from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.verdict import note_verdict, read_verdict
from nasrec_automl.verdict import Verdict


def test_of_workers_that_end_the_check_at_once_the_first_ones_counts(copied_run: RunFolder) -> None:
    assert read_verdict(copied_run) is None
    first = Verdict(architectures=[{"block1/fm": True}], log_losses=[0.5], ranking=None)
    note_verdict(copied_run, first)
    note_verdict(copied_run, Verdict(architectures=[], log_losses=[], ranking=None))
    assert read_verdict(copied_run) == first
