"""The evaluator of a run: loaded once, and again where it would be another."""

import os
from dataclasses import replace

from nasrec_automl.pipeline.evaluator import load_evaluator, make_evaluator
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def test_jobs_that_score_alike_share_a_supernet(copied_run: RunFolder) -> None:
    run = load_evaluator(copied_run)
    for change in ({"architectures": 99}, {"objectives": ("log_loss", "macs")}, {"timeout": "1h"}):
        assert load_evaluator(changed(copied_run, "search", **change)) is run
    assert load_evaluator(changed(copied_run, "search", max_rows=100)) is not run


def test_what_is_loaded_is_what_the_job_asks_for(copied_run: RunFolder) -> None:
    """Rows, head, seed and precision are among what tells evaluators apart."""
    architecture = load_search_space(copied_run.job.space).from_params(read_json(copied_run.top)["top"][0])
    heads = [copied_run.job.search.head.model_copy(update={"strength": strength}) for strength in (1.0, 1000.0)]
    base = changed(copied_run, "search", max_rows=200, head=heads[0])  # samples, so that the seed matters
    seen = set()
    for run in (
        base,
        changed(base, "search", max_rows=100),
        changed(base, "search", head=heads[1]),
        replace(base, job=base.job.model_copy(update={"seed": 77})),
        replace(base, job=base.job.model_copy(update={"precision": "bfloat16"})),
    ):
        loaded = load_evaluator(run).evaluate(architecture)
        assert loaded == make_evaluator(run).evaluate(architecture)
        seen.add(loaded.log_loss)
    assert len(seen) == 5, "or this shows nothing"


def test_a_supernet_that_was_trained_again_is_loaded_again(copied_run: RunFolder) -> None:
    before = load_evaluator(copied_run)
    assert load_evaluator(copied_run) is before
    os.utime(copied_run.weights)
    assert load_evaluator(copied_run) is not before
