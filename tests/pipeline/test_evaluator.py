"""The evaluator of a run: loaded once, and again where it would be another."""

import os

from nasrec_automl.pipeline.evaluator import load_evaluator
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.pipeline.changed import changed


def test_jobs_that_score_alike_share_a_supernet(copied_run: RunFolder) -> None:
    run = load_evaluator(copied_run)
    for change in ({"architectures": 99}, {"objectives": ("log_loss", "macs")}, {"timeout": "1h"}):
        assert load_evaluator(changed(copied_run, "search", **change)) is run
    assert load_evaluator(changed(copied_run, "search", max_rows=100)) is not run


def test_a_supernet_that_was_trained_again_is_loaded_again(copied_run: RunFolder) -> None:
    before = load_evaluator(copied_run)
    assert load_evaluator(copied_run) is before
    os.utime(copied_run.weights)
    assert load_evaluator(copied_run) is not before
