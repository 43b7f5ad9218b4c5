"""How often each category occurs, counted by sorting keys, in memory that the number of rows does not decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Pieces = Callable[[], Iterable[NDArray[np.uint64]]]
"""Reads all keys from the beginning, some at a time; may be called several times."""

_MOST = 1 << 22  # distinct keys in memory at once
_MIX = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplier for 64 bits: neighbouring keys part


def count_keys(pieces: Pieces, *, most: int = _MOST) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Count keys; 0, missing, is left out.

    Args:
        pieces: the keys.
        most: distinct keys to hold while counting. More of them are counted in several readings, each of a share of
            the keys; the result alone grows with their number.

    Returns:
        The distinct keys and how often each occurs, `(U,)` both.
    """
    shares = 1
    while True:
        counted = []
        for share in range(shares):
            part = _count_share(pieces, share, shares, most)
            if part is None:
                break
            counted.append(part)
        else:
            keys, counts = (np.concatenate(arrays) for arrays in zip(*counted, strict=True))
            return keys, counts
        shares *= 4


def _count_share(
    pieces: Pieces, share: int, shares: int, most: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]] | None:
    """Count one share of the keys; None where it has more distinct ones than `most`."""
    keys, counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    for piece in pieces():
        mine = piece.ravel()
        if shares > 1:
            mine = mine[(mine * _MIX >> np.uint64(40)) % np.uint64(shares) == share]
        mine = np.sort(mine)
        more, times = _runs(mine[np.searchsorted(mine, 1) :])  # without 0
        keys, counts = (more, times) if not len(keys) else _joined(keys, counts, more, times)
        if len(keys) > most:
            return None
    return keys, counts


def _runs(ordered: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct values of a sorted array and how often each occurs."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.diff(starts, append=len(ordered))


def _joined(
    keys: NDArray[np.uint64], counts: NDArray[np.int64], more: NDArray[np.uint64], times: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Add counts of sorted keys to those of others."""
    places = np.searchsorted(keys, more)
    places[places == len(keys)] = 0
    known = keys[places] == more
    counts[places[known]] += times[known]
    if known.all():
        return keys, counts
    together = np.concatenate([keys, more[~known]])
    order = np.argsort(together, kind="stable")
    return together[order], np.concatenate([counts, times[~known]])[order]
