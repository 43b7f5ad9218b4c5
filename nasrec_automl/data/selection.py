"""Order statistics of numbers that are read in pieces, exact and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_BITS = 16
_SIGN = np.uint64(1 << 63)


def values_at(ranks: Sequence[int], pieces: Callable[[], Iterable[NDArray[np.float64]]]) -> list[float]:
    """Return the values that would stand at some positions if all were sorted.

    A radix selection: four readings, each of which settles 16 bits.

    Args:
        ranks: positions from 0.
        pieces: reads all values, none of them NaN, from the beginning.
    """
    prefixes = [0] * len(ranks)
    left = list(ranks)
    for settled in range(0, 64, _BITS):
        counts = {prefix: np.zeros(1 << _BITS, dtype=np.int64) for prefix in prefixes}
        shift = np.uint64(64 - settled - _BITS)
        for piece in pieces():
            heads = _ordered(piece) >> shift
            for prefix, count in counts.items():
                digits = heads[heads >> np.uint64(_BITS) == prefix] if settled else heads
                count += np.bincount((digits & np.uint64((1 << _BITS) - 1)).astype(np.int64), minlength=len(count))
        for i, prefix in enumerate(prefixes):
            before = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(before, left[i], side="right"))
            left[i] -= int(before[digit - 1]) if digit else 0
            prefixes[i] = prefix << _BITS | digit
    return [_value(prefix) for prefix in prefixes]


def _ordered(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Map values to whole numbers of the same order: all bits of a negative value are inverted, of others the sign."""
    bits = (values + 0.0).view(np.uint64)  # -0 becomes 0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _value(ordered: int) -> float:
    number = np.uint64(ordered)
    bits = number & ~_SIGN if number & _SIGN else ~number
    return float(np.array([bits], dtype=np.uint64).view(np.float64)[0])
