"""Calibration: do predicted probabilities happen as often as they say?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasrec_automl.report.content import CalibrationBin
from nasrec_automl.training.weighting import pseudo_values


def calibration_bins(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None, *, bins: int = 10
) -> tuple[CalibrationBin, ...]:
    """Group rows by prediction into bins of about equal count; only rows that count are in them.

    Rows of one prediction stay together: divided, they would be by another order that the rows have, such as by label.

    Args:
        labels: `(B,)` of 0 and 1.
        probabilities: `(B,)` predictions.
        weights: `(B,)` where rows have weights, at least 0; they count in the means of a bin.
        bins: most bins to make; fewer predictions than that make one bin each.

    Returns:
        Bins with ascending predictions; none for no rows.

    Example:
        >>> calibration_bins([0, 1, 1, 1], [0.1, 0.3, 0.8, 0.8], bins=2)[1]
        CalibrationBin(predicted=0.8, observed=1.0, rows=2, error=None)
    """
    clicked = np.asarray(labels, dtype=np.float64)
    predicted = np.asarray(probabilities, dtype=np.float64)
    if clicked.shape != predicted.shape or clicked.ndim != 1:
        raise ValueError(
            f"expected labels and probabilities of one shape (B,), got {clicked.shape} and {predicted.shape}"
        )
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)
    if weight is not None and weight.shape != clicked.shape:
        raise ValueError(f"expected weights of the labels' shape {clicked.shape}, got {weight.shape}")
    order = np.argsort(predicted, kind="stable")
    if weight is not None:
        order = order[weight[order] > 0]
    ascending = predicted[order]
    firsts = [ascending[rows[0]] for rows in np.array_split(np.arange(len(order)), bins) if len(rows)]
    cuts = np.unique(np.searchsorted(ascending, firsts))
    return tuple(
        _bin(clicked[rows], predicted[rows], None if weight is None else weight[rows])
        for rows in np.split(order, cuts[1:])
        if len(rows)
    )


def rate_error(rate: float, rows: float) -> float:
    """Standard error of a share of so many rows, above 0 where it is 0 or 1 too (Agresti and Coull 1998)."""
    counted = rows + 4
    rate = (rate * rows + 2) / counted
    return math.sqrt(rate * (1 - rate) / counted)


def _bin(
    clicked: NDArray[np.float64], predicted: NDArray[np.float64], weight: NDArray[np.float64] | None
) -> CalibrationBin:
    clicks = pseudo_values(clicked, weight)
    return CalibrationBin(
        predicted=float(pseudo_values(predicted, weight).mean()),
        observed=float(clicks.mean()),
        rows=len(clicks),
        error=None if weight is None else _weighted_error(clicks, clicked, weight),
    )


def _weighted_error(clicks: NDArray[np.float64], clicked: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    if clicked.min() < clicked.max():
        return float(clicks.std()) / math.sqrt(len(clicks))
    # Where all rows had one outcome their spread says nothing; the weights say how many equal ones they are worth.
    return rate_error(float(clicked[0]), float(weight.sum() ** 2 / (weight**2).sum()))
