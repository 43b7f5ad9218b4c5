"""Early stop by pairs: an architecture that is surely worse than a rival on the same rows reads no more of them.

All architectures read the rows in one random order. After some rows, the mean difference of the two log losses, a
sample without replacement, says with what confidence the difference over all rows is above 0. The numbers of rows after
which to look are fixed in advance, and the allowed error is divided among these looks (Bonferroni). Where rows have
weights, means are weighted ones.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from nasrec_automl.training.weighting import pseudo_values

CONFIDENCE = 0.999
"""Probability, by a normal approximation, that an architecture that is as good as its rival over all rows is not
stopped; for a better one it is higher."""

_FEWEST = 512
"""Rows that a look needs. Weighted rows count as that many of equal weight whose mean has the same error."""

_FEWEST_OF_EACH = 200
"""Rows of each label that a look needs, counted in the same way. Where clicks are rare, a few of them decide the mean
difference, which is then far from normal, and too many architectures would be stopped."""


def looks(rows: int) -> list[int]:
    """Numbers of rows after which to look, each about half of the next; the last is all rows.

    Example:
        >>> looks(5000)
        [625, 1250, 2500, 5000]
    """
    found = [rows]
    while found[0] // 2 >= _FEWEST:
        found.insert(0, found[0] // 2)
    return found


def surely_worse(losses: Tensor, label: Tensor, rival: Tensor, weight: Tensor | None = None) -> bool:
    """Whether to stop: with `CONFIDENCE`, the mean loss over all rows is above the rival's.

    Args:
        losses: `(m,)` on the first m rows, m one of the `looks`.
        label: `(m,)` of these rows, 0 and 1.
        rival: `(n,)` on all rows.
        weight: `(n,)` float64 of all rows, where they have weights.
    """
    read = _first(weight, len(losses))
    equal = torch.ones(len(losses), dtype=torch.float64) if read is None else read
    if _count(equal) < _FEWEST or min(_count(equal[label > 0]), _count(equal[label <= 0])) < _FEWEST_OF_EACH:
        return False  # a few rows decide: the mean is far from normal still
    difference = pseudo_values(losses - rival[: len(losses)], read)
    interim = len(looks(len(rival))) - 1
    bound = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / interim)
    return bool(difference.mean() > bound * math.sqrt(_left(losses, rival)) * difference.std())


def estimate(losses: Tensor, rival: Tensor, weight: Tensor | None = None) -> tuple[float, float]:
    """Estimate the mean loss over all rows, and its standard error, from some rows and the rival's (a control variate).

    The error has two independent parts: the error of a full score, and the error from the rows that were not read.

    Args:
        losses: `(m,)` on the first m rows.
        rival: `(n,)` on all rows.
        weight: `(n,)` float64 of all rows, where they have weights.
    """
    read = _first(weight, len(losses))
    difference = pseudo_values(losses - rival[: len(losses)], read)
    losses, rival = pseudo_values(losses, read), pseudo_values(rival, weight)
    variance = losses.var() / len(rival) + difference.var() * _left(losses, rival)
    return (rival.mean() + difference.mean()).item(), variance.sqrt().item()


def _count(weight: Tensor) -> float:
    """The number of rows of equal weight whose mean has the same error as the mean of rows with these weights."""
    return (weight.sum().square() / weight.square().sum()).nan_to_num().item()


def _first(weight: Tensor | None, rows: int) -> Tensor | None:
    return None if weight is None else weight[:rows]


def _left(losses: Tensor, rival: Tensor) -> float:
    """Variance of the mean of m of n rows around the mean of all n, in units of a row's variance."""
    return 1 / len(losses) - 1 / len(rival)
