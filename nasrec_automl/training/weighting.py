"""Means over rows of different weight, and how far they can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# The report reads this module without torch.
Values = TypeVar("Values", "Tensor", NDArray[np.float64])


def pseudo_values(values: Values, weight: Values | None) -> Values:
    """Values `(n,)` whose plain mean is the weighted mean, and whose standard deviation over root n is its error.

    These are the jackknife's in first order: m + n w (v - m) / sum(w), m the weighted mean. A row is drawn together
    with its weight, so that the error does not change with the weights' unit, and a row of weight 3 is one observation
    and not three. Without weights they are the values themselves.

    Args:
        values: `(n,)` floats.
        weight: `(n,)` of the same type, at least 0 and not all 0; None where all rows count alike.
    """
    if weight is None:
        return values
    relative = weight / weight.mean()
    mean = (relative * values).mean()
    pseudo: Values = mean + relative * (values - mean)
    return pseudo
