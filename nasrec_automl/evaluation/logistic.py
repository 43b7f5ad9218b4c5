"""A baseline of every run: logistic regression on the same features and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import Baseline
from nasrec_automl.schema import FeatureSchema

TUNING_ROWS = 100_000
"""Most rows of the fits that choose the strength: it is the variance of a prior, and hardly depends on the rows."""

_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)  # from strong to weak, which takes longer


@dataclass(frozen=True, slots=True, eq=False)
class Logistic(Baseline):
    """A fitted logistic regression over categories and dense features.

    Attributes:
        schema: of the rows.
        strength: inverse regularisation strength of the fit.
        seen: positions of the categories that the fit has seen, in the fields' tables laid end to end, in order.
        coefficients: coefficients of these categories, then of the dense features.
        intercept: added to the sum.
    """

    schema: FeatureSchema
    strength: float
    seen: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    intercept: float

    def _logits(self, rows: Rows) -> NDArray[np.float64]:
        design = _design(_categories(rows, self.schema), self.seen, rows)
        found: NDArray[np.float64] = design @ self.coefficients + self.intercept
        return found


def fit_logistic(rows: Rows, schema: FeatureSchema, *, strength: float) -> Logistic:
    """Fit a logistic regression with the given inverse regularisation strength."""
    (fitted,) = _fits(rows, schema, (strength,))
    return fitted


def tune_logistic(train: Rows, validation: Rows, schema: FeatureSchema, *, seed: int) -> Logistic:
    """Choose the regularisation strength on validation rows, and fit on `train` alone.

    The strengths are tried from strong to weak until one is worse than the one before, since fits take longer and
    longer. If there are more than `TUNING_ROWS` rows, that many are drawn for the choice, by the seed. If the drawn
    rows are of one class, since clicks are very rare, all rows are used.
    """
    some = train.sample(TUNING_ROWS, seed)
    if len(np.unique(some.label)) < 2:
        some = train
    fits = _fits(some, schema, _STRENGTHS)
    best = next(fits)
    lowest = best.measure(validation).log_loss
    for fitted in fits:
        log_loss = fitted.measure(validation).log_loss
        if log_loss >= lowest:
            break
        best, lowest = fitted, log_loss
    return best if some is train else fit_logistic(train, schema, strength=best.strength)


def _fits(rows: Rows, schema: FeatureSchema, strengths: Sequence[float]) -> Iterator[Logistic]:
    """The fit of each strength in turn, made when it is asked for."""
    categories = _categories(rows, schema)
    starts = _starts(categories)
    seen = np.concatenate([start + np.unique(b.indices) for start, b in zip(starts, categories, strict=True)])
    design, label = _design(categories, seen, rows), np.asarray(rows.label)
    weight = None if rows.weight is None else np.asarray(rows.weight)
    for strength in strengths:
        # Newton's steps get along with categories that are seen once beside others that are seen in all rows.
        model = LogisticRegression(C=strength, solver="newton-cg").fit(design, label, sample_weight=weight)
        yield Logistic(schema, strength, seen, model.coef_[0], float(model.intercept_[0]))


def _categories(rows: Rows, schema: FeatureSchema) -> list[sparse.csr_matrix]:
    """The weight of each category in each row, `(n, table size)` for every field.

    The values of a multi-valued field weigh as much as their embeddings do in its pooling: all alike, padding (id 0)
    nothing.
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
    return blocks


def _starts(categories: list[sparse.csr_matrix]) -> NDArray[np.int64]:
    """The start of each field's table if all tables are laid end to end, `(F,)`."""
    return np.cumsum([0, *(block.shape[1] for block in categories[:-1])])


def _design(categories: list[sparse.csr_matrix], seen: NDArray[np.int64], rows: Rows) -> sparse.csr_matrix:
    """The columns of the regression: the categories that the fit has seen, then the dense features.

    The categories are found by search: `block[:, own]` would go through all ids, of which a field may have 100 million.
    """
    starts = _starts(categories)
    blocks = []
    for block, start, own in zip(categories, starts, np.split(seen, np.searchsorted(seen, starts[1:])), strict=True):
        columns = np.searchsorted(own - start, block.indices)
        known = np.append(own - start, -1)[columns] == block.indices
        kept = np.append(0, np.cumsum(known))[block.indptr]
        blocks.append(sparse.csr_matrix((block.data[known], columns[known], kept), shape=(len(rows), len(own))))
    return sparse.hstack([*blocks, sparse.csr_matrix(np.asarray(rows.dense))], format="csr")
