"""Several arrays as one, without copying them: the shards of a part, or parts that are trained on together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Joined:
    """Arrays `(n_i, ...)` of one type and width, read as the array `(n, ...)` of all their rows.

    `numpy.asarray` copies all of it into memory.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self.arrays = tuple(arrays)
        self._ends = np.cumsum([len(array) for array in arrays])

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any] | Joined]) -> NDArray[Any] | Self:
        """Join arrays, some of them joined already; a single one stays as it is."""
        flat = [inner for array in arrays for inner in (array.arrays if isinstance(array, Joined) else (array,))]
        return flat[0] if len(flat) == 1 else cls(flat)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return (int(self._ends[-1]), *self.arrays[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the whole."""
        return np.result_type(*self.arrays)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.concatenate(self.arrays).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Copy the rows of a slice, at positions `(B,)`, where a mask `(n,)` is true, or one row."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._range(start, stop)
            index = np.arange(start, stop, step)
        index = np.asarray(index)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise IndexError(f"a mask of {len(self)} rows was expected, but its shape is {index.shape}")
            index = np.flatnonzero(index)
        if not index.size:
            return self.arrays[0][:0].astype(self.dtype)
        places = np.where(index < 0, index + len(self), index)
        if places.min() < 0 or places.max() >= len(self):
            raise IndexError(f"positions must be within the {len(self)} rows")
        return self.take(places) if places.ndim else self.take(places[None])[0]

    def take(self, index: NDArray[Any]) -> NDArray[Any]:
        """Copy the rows at positions `(B,)`, each from 0."""
        result = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        which = np.searchsorted(self._ends, index, side="right")
        for number in np.unique(which):
            array, mine = self.arrays[number], which == number
            result[mine] = array[index[mine] - (self._ends[number] - len(array))]
        return result

    def _range(self, start: int, stop: int) -> NDArray[Any]:
        first = self._ends - [len(array) for array in self.arrays]
        pieces = [
            array[max(0, start - begin) : stop - begin]
            for array, begin, end in zip(self.arrays, first.tolist(), self._ends.tolist(), strict=True)
            if begin < stop and end > start
        ]
        return np.concatenate(pieces) if pieces else self.arrays[0][:0]
