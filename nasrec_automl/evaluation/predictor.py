"""A performance predictor: log losses of architectures that were not trained, from a few trainings from scratch.

It follows arXiv 1912.00848, with a model for which a dozen trainings suffice: a ridge regression of the log loss on how
often an architecture has each operator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS, Architecture

_STRENGTHS = np.logspace(-1, 3, 9)
"""Strengths of the ridge, in units of trainings: from nearly plain least squares to a predictor that says nearly the
same of all architectures."""


def operator_counts(architecture: Architecture) -> NDArray[np.float64]:
    """How often each operator and merger occurs among the live parts of an architecture.

    Returns:
        `(12,)`: of `DENSE_OPS`, of `SPARSE_OPS`, of the dense-to-sparse merger and of FM.
    """
    counts = dict.fromkeys((*DENSE_OPS, *SPARSE_OPS, "dense_to_sparse", "fm"), 0)
    for block, live in zip(architecture.blocks, architecture.live, strict=True):
        if live.dense:
            counts[block.dense_op] += 1
        if live.sparse:
            counts[block.sparse_op] += 1
        counts["dense_to_sparse"] += live.dense_to_sparse
        counts["fm"] += live.fm
    return np.array(list(counts.values()), dtype=np.float64)


def predict_log_losses(
    trained: Sequence[Architecture], log_losses: ArrayLike, architectures: Sequence[Architecture]
) -> NDArray[np.float64]:
    """Predict the log loss of architectures from that of others.

    The strength of the ridge is the one with the smallest error when each training is predicted from all others. Where
    operators make no difference that can be seen, the predictions are nearly all the same.

    Args:
        trained: at least two architectures that were trained from scratch.
        log_losses: log loss of each of them. NaN for a training that diverged: it counts as the worst of the others, so
            that operators that diverge are not chosen again.
        architectures: `n` architectures of the same space.

    Returns:
        `(n,)` log losses.
    """
    known = np.asarray(log_losses, dtype=np.float64)
    known = np.where(np.isnan(known), np.nanmax(known), known)
    model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS))
    model.fit(np.stack([operator_counts(one) for one in trained]), known)
    predicted: NDArray[np.float64] = model.predict(np.stack([operator_counts(one) for one in architectures]))
    return predicted
