"""AUC within groups of rows, such as those of a user: whether a model orders what one and the same person sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.training.weighting import pseudo_values

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GroupedAUC:
    """AUCs of the groups that have rows of both classes; of others there is none.

    Attributes:
        aucs: `(g,)`.
        weight: `(g,)`, the sum of the weights of a group's rows.
    """

    aucs: Array
    weight: Array

    @property
    def mean(self) -> float | None:
        """Their mean, weighted by rows (Zhou et al. 2018); None without groups."""
        return float(np.average(self.aucs, weights=self.weight)) if len(self.aucs) else None

    def difference_error(self, other: GroupedAUC) -> float | None:
        """Standard error of the difference of two means over the same groups, a group being one observation.

        None of fewer than two groups.
        """
        if len(self.aucs) < 2:
            return None
        difference = pseudo_values(self.aucs - other.aucs, self.weight)
        return math.sqrt(difference.var(ddof=1) / len(difference))


def grouped_auc(
    label: NDArray[np.generic], scores: Array, groups: NDArray[np.int64], weight: Array | None = None
) -> GroupedAUC:
    """Measure the AUC within each group, in O(n log n).

    Args:
        label: `(n,)`, 0 or 1.
        scores: `(n,)` of a model, in any monotone scale.
        groups: `(n,)` from 0; rows of -1 belong to none.
        weight: `(n,)` where rows have weights, at least 0.
    """
    counted = groups >= 0 if weight is None else (groups >= 0) & (weight > 0)
    positive, scores, groups = np.asarray(label)[counted] == 1, scores[counted], groups[counted]
    weights: Array = np.ones(len(groups)) if weight is None else weight[counted]
    ranks = np.unique(scores, return_inverse=True)[1]
    places = np.unique(groups * (len(ranks) + 1) + ranks, return_inverse=True)[1]  # by group, then by score
    negatives, positives = (np.bincount(groups, weights * rows) for rows in (~positive, positive))
    at_place = np.bincount(places, weights * ~positive)
    earlier_groups = negatives.cumsum() - negatives
    below = (at_place.cumsum() - at_place / 2)[places] - earlier_groups[groups]
    both = (negatives > 0) & (positives > 0)
    pairs = np.bincount(groups, weights * positive * below)
    return GroupedAUC(pairs[both] / (negatives * positives)[both], (negatives + positives)[both].astype(np.float64))
