"""Paired errors: how far two models' difference on the same rows can be trusted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.training.weighting import pseudo_values

Array = NDArray[np.float64]


def log_loss_difference_error(first: Array, second: Array, weight: Array | None = None) -> float:
    """Standard error of the difference of two log losses on the same rows.

    Args:
        first: `(n,)` losses of the rows by the first model; at least two rows count.
        second: `(n,)` losses of the rows by the second model.
        weight: `(n,)` where rows have weights, at least 0; a row is one observation, whatever its weight.
    """
    if weight is not None:
        counted = weight > 0
        first, second, weight = first[counted], second[counted], weight[counted]
    difference = pseudo_values(first - second, weight)
    return math.sqrt(difference.var(ddof=1) / len(difference))


def auc_difference_error(
    label: NDArray[np.generic], first: Array, second: Array, weight: Array | None = None
) -> float | None:
    """Standard error of the difference of two AUCs on the same rows (DeLong et al. 1988).

    The placement values come from one order of the scores, in O(n log n). None if fewer than two rows of a class count,
    since their variance is then unknown.

    Args:
        label: `(n,)`, 0 or 1.
        first: `(n,)` scores of the first model, in any monotone scale.
        second: `(n,)` scores of the second model.
        weight: `(n,)` where rows have weights, at least 0; a row is one observation, whatever its weight.
    """
    positive = np.asarray(label) == 1
    if weight is not None:
        counted = weight > 0
        positive, first, second, weight = positive[counted], first[counted], second[counted], weight[counted]
    if min(np.count_nonzero(positive), np.count_nonzero(~positive)) < 2:
        return None
    variance = 0.0
    both = (placements(positive, scores, weight) for scores in (first, second))
    for (one, other), rows in zip(zip(*both, strict=True), (positive, ~positive), strict=True):
        difference = pseudo_values(one - other, None if weight is None else weight[rows])
        variance += difference.var(ddof=1) / len(difference)
    return math.sqrt(variance)


def placements(positive: NDArray[np.bool_], scores: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """For each positive row the share of negatives below it; for each negative row the share of positives above it.

    The mean of either is the AUC (DeLong et al. 1988).

    Args:
        positive: `(n,)`, whether the label is 1; both are present.
        scores: `(n,)` of a model, in any monotone scale.
        weight: `(n,)` where rows have weights, above 0.
    """
    ranks = np.unique(scores, return_inverse=True)[1]
    below = []
    for rows in (positive, ~positive):
        at_rank = np.bincount(ranks, weights=rows if weight is None else weight * rows)
        below.append((at_rank.cumsum() - at_rank / 2)[ranks] / at_rank.sum())
    return below[1][positive], 1 - below[0][~positive]
