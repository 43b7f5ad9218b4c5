"""Calibration: do predicted probabilities happen as often as they say?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nasrec_automl.report.content import CalibrationBin


def calibration_bins(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> tuple[CalibrationBin, ...]:
    """Group rows into bins of equal count by prediction.

    Args:
        labels: `(B,)` of 0 and 1.
        probabilities: `(B,)` predictions.
        bins: most bins to make; fewer rows than that make one bin each.

    Returns:
        Bins with ascending predictions; none for no rows.

    Example:
        >>> calibration_bins([0, 1, 1, 1], [0.1, 0.3, 0.8, 0.8], bins=2)[1]
        CalibrationBin(predicted=0.8, observed=1.0, rows=2)
    """
    clicked = np.asarray(labels, dtype=np.float64)
    predicted = np.asarray(probabilities, dtype=np.float64)
    if clicked.shape != predicted.shape or clicked.ndim != 1:
        raise ValueError(
            f"expected labels and probabilities of one shape (B,), got {clicked.shape} and {predicted.shape}"
        )
    order = np.argsort(predicted, kind="stable")
    return tuple(
        CalibrationBin(predicted=float(predicted[rows].mean()), observed=float(clicked[rows].mean()), rows=len(rows))
        for rows in np.array_split(order, bins)
        if len(rows)
    )
