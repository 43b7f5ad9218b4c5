"""The weight-sharing evaluator over the supernet of a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from nasrec_automl.config import HeadConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space
from nasrec_automl.training.precision import Precision

_LOADING = threading.Lock()
"""A cache alone would let two threads load at once."""

_KEPT = 2
"""Evaluators that a process keeps, each with a supernet: of two runs that a notebook compares."""


def load_evaluator(run: RunFolder) -> WeightSharingEvaluator:
    """The evaluator over a run's supernet, loaded once a process.

    Raises:
        NasRecError: the supernet is not trained, or not of the job's space and data.
    """
    with _LOADING:
        written = run.weights.stat().st_mtime_ns if run.weights.is_file() else None
        return _evaluator(_Read.of(run), written)


def release_evaluators() -> None:
    """Let go of the evaluators that are kept, where what comes next needs none; the next call loads again."""
    with _LOADING:
        _evaluator.cache_clear()


@dataclass(frozen=True)
class _Read:
    """All that an evaluator depends on: jobs that differ in nothing else share one."""

    weights: Path
    data: Path
    space: str
    embedding_dim: int
    device: str
    precision: Precision
    seed: int
    head: HeadConfig
    max_rows: int | None
    early_stop: int

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        job, config = run.job, run.job.search
        return cls(
            weights=run.weights,
            data=run.data,
            space=str(job.space),
            embedding_dim=job.embedding_dim,
            device=job.device,
            precision=job.precision,
            seed=job.seed,
            head=config.head,
            max_rows=config.max_rows,
            early_stop=config.early_stop,
        )

    def load(self) -> WeightSharingEvaluator:
        data = PreparedData.open(self.data)
        supernet = load_supernet(self.weights, load_search_space(self.space), data.schema(self.embedding_dim))
        return WeightSharingEvaluator(
            supernet.to(self.device),
            head_rows=data.part(Part.HEAD).sample(max(1, self.head.rows), self.seed),
            score_rows=data.part(Part.SEARCH).sample(self.max_rows, self.seed),
            head=self.head,
            seed=self.seed,
            precision=self.precision,
            early_stop=self.early_stop,
        )


def score_rows(run: RunFolder) -> int:
    """How many rows of the search part a score is measured on that is not stopped early."""
    rows, most = PreparedData.open(run.data).rows(Part.SEARCH), run.job.search.max_rows
    return rows if most is None else min(rows, most)


@lru_cache(maxsize=_KEPT)
def _evaluator(read: _Read, written: int | None) -> WeightSharingEvaluator:
    """The evaluator; when the weights were written is a part of the cache's key."""
    return read.load()


def make_evaluator(run: RunFolder) -> WeightSharingEvaluator:
    """Load the supernet of a run for an evaluator of its own.

    Raises:
        NasRecError: the supernet is not trained, or not of the job's space and data.
    """
    return _Read.of(run).load()
