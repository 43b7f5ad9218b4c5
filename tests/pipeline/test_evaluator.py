"""The evaluator of a run."""

from dataclasses import replace

from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def test_scores_are_what_the_job_asks_for(copied_run: RunFolder) -> None:
    """Rows, head, seed and precision make a difference; what else a search says does not."""
    architecture = load_search_space(copied_run.job.space).from_params(read_json(copied_run.top)["top"][0])
    heads = [copied_run.job.search.head.model_copy(update={"strength": strength}) for strength in (1.0, 1000.0)]
    base = changed(copied_run, "search", max_rows=200, head=heads[0])  # samples, so that the seed matters
    runs = (
        base,
        changed(base, "search", max_rows=100),
        changed(base, "search", head=heads[1]),
        replace(base, job=base.job.model_copy(update={"seed": 77})),
        replace(base, job=base.job.model_copy(update={"precision": "bfloat16"})),
    )
    assert len({make_evaluator(run).evaluate(architecture).log_loss for run in runs}) == len(runs)
    for change in ({"architectures": 99}, {"objectives": ("log_loss", "macs")}, {"timeout": "1h"}):
        same = make_evaluator(changed(base, "search", **change))
        assert same.evaluate(architecture) == make_evaluator(base).evaluate(architecture)
