"""Paired errors: how far two models' difference on the same rows can be trusted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def auc_difference_error(label: NDArray[np.generic], first: Array, second: Array) -> float:
    """Standard error of the difference of two AUCs on the same rows (DeLong et al. 1988).

    The placement values come from midranks (Sun and Xu 2014), in O(n log n).

    Args:
        label: `(n,)`, 0 or 1, both present.
        first: `(n,)` scores of the first model, in any monotone scale.
        second: the same of the second.
    """
    positive = np.asarray(label) == 1
    by_positive, by_negative = zip(*(_placements(positive, scores) for scores in (first, second)), strict=True)
    over_positives = by_positive[0] - by_positive[1]
    over_negatives = by_negative[0] - by_negative[1]
    variance = over_positives.var(ddof=1) / len(over_positives) + over_negatives.var(ddof=1) / len(over_negatives)
    return math.sqrt(variance)


def _placements(positive: NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """For each positive row the share of negatives below it, and for each negative that of positives above it."""
    ranks = rankdata(scores)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    own_positive, own_negative = rankdata(scores[positive]), rankdata(scores[~positive])
    return (
        (ranks[positive] - own_positive) / negatives,
        1 - (ranks[~positive] - own_negative) / positives,
    )
