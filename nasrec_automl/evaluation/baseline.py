"""The baseline of every run: logistic regression on the same features and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from nasrec_automl.data.rows import Rows
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.training.metrics import Metrics, measure, targets

BASELINE_ROWS = 1_000_000
"""Most rows of a fit, which is in memory: two kilobytes a row of Criteo's. More change little in a sum of effects."""

_ROWS_AT_ONCE = 65_536

_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted logistic regression over categories and dense features.

    Attributes:
        schema: of the rows.
        seen: positions of the categories that the fit has seen, in the fields' tables laid end to end, in order.
        model: the fitted regression, over these and the dense features.
    """

    schema: FeatureSchema
    seen: NDArray[np.int64]
    model: LogisticRegression

    def logits(self, rows: Rows) -> torch.Tensor:
        """Decision values, `(n,)`."""
        slices = (rows.take(slice(start, start + _ROWS_AT_ONCE)) for start in range(0, len(rows), _ROWS_AT_ONCE))
        designs = (_design(_categories(some, self.schema)[:, self.seen], some) for some in slices)
        return torch.from_numpy(np.concatenate([self.model.decision_function(design) for design in designs]))

    def measure(self, rows: Rows) -> Metrics:
        """Log loss and AUC on some rows."""
        return measure(self.logits(rows), *targets(rows))


def fit_baseline(rows: Rows, schema: FeatureSchema, *, strength: float) -> Baseline:
    """Fit a logistic regression with the given inverse regularisation strength."""
    (fitted,) = _fit(rows, schema, (strength,))
    return fitted


def tune_baseline(train: Rows, validation: Rows, schema: FeatureSchema) -> tuple[Baseline, float]:
    """Choose the regularisation strength on validation rows.

    Returns:
        The regression fitted on `train` alone, and its strength.
    """
    fitted = dict(zip(_STRENGTHS, _fit(train, schema, _STRENGTHS), strict=True))
    best = min(fitted, key=lambda strength: fitted[strength].measure(validation).log_loss)
    return fitted[best], best


def _fit(rows: Rows, schema: FeatureSchema, strengths: Sequence[float]) -> list[Baseline]:
    categories = _categories(rows, schema)
    seen = np.unique(categories.indices).astype(np.int64)
    design, label = _design(categories[:, seen], rows), np.asarray(rows.label)
    weight = None if rows.weight is None else np.asarray(rows.weight)
    models = [LogisticRegression(C=strength, max_iter=1000) for strength in strengths]
    return [Baseline(schema, seen, model.fit(design, label, sample_weight=weight)) for model in models]


def _categories(rows: Rows, schema: FeatureSchema) -> sparse.csr_matrix:
    """What each category counts in each row, `(n, all tables' rows)`.

    Of a multi-valued field that is what the embeddings of its values count: each alike, 0 its padding.
    """
    ids = np.asarray(rows.ids)
    blocks, column = [], 0
    for field in schema.fields:
        own = ids[:, column : column + field.columns].astype(np.int64)
        column += field.columns
        counts = np.ones(own.shape)
        if field.columns > 1:
            counts = (own > 0).astype(np.float64)
            if field.pooling == "mean":
                counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        starts = np.arange(0, own.size + 1, field.columns)
        block = sparse.csr_matrix((counts.ravel(), own.ravel(), starts), shape=(len(own), field.table_size))
        block.sum_duplicates()
        block.eliminate_zeros()
        blocks.append(block)
    return sparse.hstack(blocks, format="csr")


def _design(categories: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
    return sparse.hstack([categories, sparse.csr_matrix(np.asarray(rows.dense))], format="csr")
