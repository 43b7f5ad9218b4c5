"""The weight-sharing evaluator over the supernet of a run."""

from __future__ import annotations

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space


def score_rows(run: RunFolder) -> int:
    """How many rows of the search part a score is measured on that is not stopped early."""
    rows, most = PreparedData.open(run.data).rows(Part.SEARCH), run.job.search.max_rows
    return rows if most is None else min(rows, most)


def make_evaluator(run: RunFolder) -> WeightSharingEvaluator:
    """Load the supernet of a run for an evaluator of its own.

    Raises:
        NasRecError: the supernet is not trained, or not of the job's space and data.
    """
    job, config, data = run.job, run.job.search, PreparedData.open(run.data)
    supernet = load_supernet(run.weights, load_search_space(job.space), data.schema(job.embedding_dim))
    return WeightSharingEvaluator(
        supernet.to(job.device),
        head_rows=data.part(Part.HEAD),
        score_rows=data.part(Part.SEARCH).sample(config.max_rows, job.seed),
        head=config.head,
        seed=job.seed,
        precision=job.precision,
        early_stop=config.early_stop,
    )
