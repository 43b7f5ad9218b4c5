"""How often each category occurs, counted by sorting keys, in memory that neither rows nor categories decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Pieces = Callable[[], Iterable[NDArray[np.uint64]]]
"""Reads all keys from the beginning, some at a time; may be called several times."""

_MOST = 1 << 22  # distinct keys in memory at once
_MIX = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplier for 64 bits: neighbouring keys part


def count_keys(pieces: Pieces, *, most: int = _MOST) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
    """Count keys, a share of them at a time; 0, missing, is left out.

    Args:
        pieces: the keys.
        most: distinct keys to hold. More of them are counted in several readings, each of a share of the keys.

    Yields:
        Distinct keys, ascending, and how often each occurs, `(U,)` both; none is in two shares.
    """
    shares, waiting = 1, [0]
    while waiting:
        found = _count_share(pieces, waiting[0], shares, most)
        if found is None:  # the others are as large
            waiting = [share + shares * quarter for quarter in range(4) for share in waiting]
            shares *= 4
            continue
        yield found
        del found, waiting[0]  # before the next share is counted


def _count_share(
    pieces: Pieces, share: int, shares: int, most: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]] | None:
    """Count one share of the keys; None where it has more distinct ones than `most`."""
    keys, counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    for piece in pieces():
        more, times = _runs(_ordered(piece, share, shares))
        keys, counts = (more, times) if not len(keys) else _joined(keys, counts, more, times)
        if len(keys) > most:
            return None
    return keys, counts


def _ordered(piece: NDArray[np.uint64], share: int, shares: int) -> NDArray[np.uint64]:
    """Return the keys of one share in their order, without 0."""
    keys = piece.ravel()
    if shares > 1:
        keys = keys[(keys * _MIX >> np.uint64(40)) % np.uint64(shares) == share]
    keys = np.sort(keys)
    return keys[np.searchsorted(keys, np.uint64(1)) :]  # of a Python 1 NumPy would make floats of all keys


def _runs(ordered: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct values of a sorted array and how often each occurs."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.diff(starts, append=len(ordered))


def _joined(
    keys: NDArray[np.uint64], counts: NDArray[np.int64], more: NDArray[np.uint64], times: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Add counts of sorted keys to those of others."""
    places = np.searchsorted(keys, more)
    known = keys[np.minimum(places, len(keys) - 1)] == more
    counts[places[known]] += times[known]
    if known.all():
        return keys, counts
    places, new = places[~known], ~known
    return np.insert(keys, places, more[new]), np.insert(counts, places, times[new])
