"""The weight-sharing evaluator over the supernet of a run."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from nasrec_automl.config import Job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space

_LOADING = threading.Lock()
"""A cache alone would let two threads load at once."""

_READ: dict[str, Any] = {
    **dict.fromkeys(("name", "run_folder", "data", "space", "embedding_dim", "device", "precision", "seed"), True),
    "search": {"head", "max_rows", "early_stop"},
}
"""What an evaluator depends on: jobs that differ in nothing else share one. (The name is what no job lacks.)"""

_KEPT = 2
"""Evaluators that a process keeps, each with a supernet: of two runs that a notebook compares."""


def load_evaluator(run: RunFolder) -> WeightSharingEvaluator:
    """The evaluator over a run's supernet, loaded once a process.

    Raises:
        NasRecError: the supernet is not trained, or not of the job's space and data.
    """
    with _LOADING:
        written = run.weights.stat().st_mtime_ns if run.weights.is_file() else None
        return _evaluator(run.job.model_dump_json(include=_READ), written)


def release_evaluators() -> None:
    """Let go of the evaluators that are kept, where what comes next needs none; the next call loads again."""
    with _LOADING:
        _evaluator.cache_clear()


def score_rows(run: RunFolder) -> int:
    """How many rows of the search part a score is measured on that is not stopped early."""
    rows, most = PreparedData.open(run.data).rows(Part.SEARCH), run.job.search.max_rows
    return rows if most is None else min(rows, most)


@lru_cache(maxsize=_KEPT)
def _evaluator(text: str, written: int | None) -> WeightSharingEvaluator:
    """The evaluator; what it reads of the job, and when the weights were written, are the cache's key."""
    return make_evaluator(RunFolder(Job.model_validate_json(text)))


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
