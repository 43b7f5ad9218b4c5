"""What the ids of large columns become for trees: the mean label of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MeanLabels:
    """The mean label of each id, as scikit-learn's `TargetEncoder` smooths it, which takes no weights.

    Attributes:
        means: of the ids of each column, `(table_size,)`.
    """

    means: tuple[Array, ...]

    @classmethod
    def fit(
        cls,
        ids: NDArray[np.generic],
        label: NDArray[np.generic],
        weight: Array | None,
        *,
        sizes: Sequence[int],
        smooth: float,
    ) -> MeanLabels:
        """Measure the means: (sum of the labels + smooth x mean of all rows) / (rows + smooth).

        Args:
            ids: `(n, C)`, each column below its size.
            label: `(n,)`, 0 or 1.
            weight: `(n,)` where rows have weights; a row of weight 3 is three rows.
            sizes: numbers of ids, C of them.
            smooth: rows of the mean of all rows that each id has beside its own.
        """
        weights = np.ones(len(label)) if weight is None else weight
        clicks = weights * np.asarray(label, np.float64)
        mean = clicks.sum() / weights.sum()
        return cls(
            tuple(
                (np.bincount(column, clicks, size) + smooth * mean) / (np.bincount(column, weights, size) + smooth)
                for column, size in zip(ids.T, sizes, strict=True)
            )
        )

    def transform(self, ids: NDArray[np.generic]) -> Array:
        """Mean labels `(n, C)` of ids `(n, C)`."""
        found = [means[column] for means, column in zip(self.means, ids.T, strict=True)]
        return np.column_stack(found)


def cross_fitted(
    ids: NDArray[np.generic],
    label: NDArray[np.generic],
    weight: Array | None,
    *,
    sizes: Sequence[int],
    smooth: float,
    seed: int,
) -> Array:
    """Mean labels `(n, C)`, in five parts, each measured on the other four: no row's own label is in its feature.

    Arguments are those of `MeanLabels.fit`, and the seed of the parts.
    """
    found = np.empty(ids.shape)
    for others, rows in KFold(5, shuffle=True, random_state=seed).split(ids):
        known = None if weight is None else weight[others]
        means = MeanLabels.fit(ids[others], label[others], known, sizes=sizes, smooth=smooth)
        found[rows] = means.transform(ids[rows])
    return found
