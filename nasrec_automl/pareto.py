"""Which of several points are the best, where each has several values that should all be small."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def domination_ranks(points: Sequence[Sequence[float]]) -> list[int]:
    """The rank of each point: 0 on the Pareto front, 1 on that of the others, and so on.

    A point dominates another if it is nowhere larger, and somewhere smaller. Points are put in order, and each onto
    the first front that has nothing above it, found by bisection (Zhang et al., doi 10.1109/TEVC.2014.2308305).

    Args:
        points: `n` points of equally many finite values.

    Example:
        >>> domination_ranks([(0.5, 30), (0.6, 10), (0.6, 30), (0.7, 40), (0.5, 30)])
        [0, 0, 1, 2, 0]
    """
    values = np.asarray(points, dtype=float)
    fronts: list[_Front] = []
    ranks = [0] * len(values)
    # A point is dominated by earlier ones alone.
    for index in sorted(range(len(values)), key=lambda i: tuple(values[i])):
        point = values[index]
        # Where a front dominates a point, so do all fronts before it.
        rank = bisect_left(fronts, True, key=lambda front: not front.dominates(point))
        if rank == len(fronts):
            fronts.append(_Front(values.shape[1]))
        fronts[rank].add(point)
        ranks[index] = rank
    return ranks


def front_order(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of points, the best first: the Pareto front, then that of the others, and so on.

    Each front is in the order of its first values, equals as they come. Points of one value are in the order of that.

    Args:
        points: `n` points of equally many finite values.

    Example:
        >>> front_order([(0.7, 40), (0.6, 10), (0.6, 30), (0.5, 30)])
        [3, 1, 2, 0]
    """
    several = bool(points) and len(points[0]) > 1
    ranks = domination_ranks(points) if several else [0] * len(points)
    return sorted(range(len(points)), key=lambda i: (ranks[i], points[i][0]))


class _Front:
    """Points in an array that grows by doubling."""

    def __init__(self, width: int) -> None:
        self._points = np.empty((8, width))
        self._size = 0

    def add(self, point: NDArray[np.float64]) -> None:
        if self._size == len(self._points):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
        self._points[self._size] = point
        self._size += 1

    def dominates(self, point: NDArray[np.float64]) -> bool:
        members = self._points[: self._size]
        return bool(((members <= point).all(axis=1) & (members < point).any(axis=1)).any())
