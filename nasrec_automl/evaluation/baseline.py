"""The baseline of every run: logistic regression on the same features and rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from nasrec_automl.data.rows import Rows
from nasrec_automl.training.metrics import Metrics, measure, targets

_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted logistic regression over one-hot ids and dense features.

    Attributes:
        encoder: of the ids.
        model: the fitted regression.
    """

    encoder: OneHotEncoder
    model: LogisticRegression

    def logits(self, rows: Rows) -> torch.Tensor:
        """Decision values, `(n,)`."""
        return torch.from_numpy(self.model.decision_function(_design(self.encoder, rows)))

    def measure(self, rows: Rows) -> Metrics:
        """Log loss and AUC on some rows."""
        return measure(self.logits(rows), *targets(rows))


def fit_baseline(rows: Rows, *, strength: float) -> Baseline:
    """Fit a logistic regression with the given inverse regularisation strength."""
    encoder = OneHotEncoder(handle_unknown="ignore").fit(np.asarray(rows.ids))
    model = LogisticRegression(C=strength, max_iter=1000)
    weight = None if rows.weight is None else np.asarray(rows.weight)
    model.fit(_design(encoder, rows), np.asarray(rows.label), sample_weight=weight)
    return Baseline(encoder, model)


def tune_baseline(train: Rows, validation: Rows) -> tuple[Baseline, float]:
    """Choose the regularisation strength on validation rows.

    Returns:
        The regression fitted on `train` alone, and its strength.
    """
    fitted = {strength: fit_baseline(train, strength=strength) for strength in _STRENGTHS}
    best = min(fitted, key=lambda strength: fitted[strength].measure(validation).log_loss)
    return fitted[best], best


def _design(encoder: OneHotEncoder, rows: Rows) -> sparse.csr_matrix:
    dense: NDArray[np.float32] = np.asarray(rows.dense)
    design: sparse.csr_matrix = sparse.hstack(
        [encoder.transform(np.asarray(rows.ids)), sparse.csr_matrix(dense)]
    ).tocsr()
    return design
