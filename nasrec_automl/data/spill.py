"""All rows of a source on disk while they are prepared: a file for each encoded column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.keys import Keys

_SEGMENT = 1 << 21  # values of a column that are read at once
_TEXTS = pa.schema([("key", pa.uint64()), ("text", pa.string())])


@dataclass(frozen=True, slots=True)  # there is one for each chunk and column
class _Piece:
    """Where a chunk of a column is in its file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.offset + prod(self.shape) * self.dtype.itemsize


class Spill:
    """Columns on disk, written in chunks and read again.

    They are read into memory and not mapped: the pages of a mapped file would count as this process's memory.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots: dict[str, int] = {}  # a column's name may be no file's
        self._pieces: dict[str, list[_Piece]] = {}

    @property
    def chunks(self) -> range:
        """Numbers of the chunks."""
        return range(max(map(len, self._pieces.values()), default=0))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(piece.shape[0] for piece in next(iter(self._pieces.values()), []))

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write a chunk: arrays `(n,)` or `(n, K)`, the same names and widths each time."""
        for name, array in columns.items():
            self.write(name, array)

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Write the next chunk of one column, keys and numbers perhaps `narrowed`; they are read as they were."""
        before = self._pieces.setdefault(name, [])
        offset = before[-1].end if before else 0
        before.append(_Piece(offset, array.dtype, array.shape))
        with self._path(name).open("ab") as file:
            file.write(np.ascontiguousarray(array).data)

    def has(self, name: str) -> bool:
        """Say whether there is such a column."""
        return name in self._pieces

    def read(self, name: str, chunk: int) -> NDArray[Any]:
        """Read a chunk of a column."""
        return self._read(name, [self._pieces[name][chunk]])

    def segments(self, *names: str) -> Iterator[tuple[NDArray[Any], ...]]:
        """Read columns side by side from the beginning, several chunks at a time."""
        pieces = zip(*(self._pieces[name] for name in names), strict=True)
        for some in _gathered([max(prod(piece.shape) for piece in chunk) for chunk in pieces]):
            yield tuple(self._read(name, self._pieces[name][some]) for name in names)

    def _read(self, name: str, pieces: Sequence[_Piece]) -> NDArray[Any]:
        arrays = []
        with self._path(name).open("rb") as file:
            file.seek(pieces[0].offset)
            for piece in pieces:
                array = np.empty(piece.shape, dtype=piece.dtype)
                file.readinto(array.data.cast("B") if array.size else bytearray())
                arrays.append(array)
        joined: NDArray[Any] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        kind = {"u": np.uint64, "f": np.float64}.get(joined.dtype.kind)
        return joined if kind is None or joined.dtype.itemsize == 1 else joined.astype(kind, copy=False)

    def write_texts(self, name: str, found: Keys) -> None:
        """Keep the texts of a column's keys."""
        if not len(found.distinct):
            return
        batch = pa.record_batch([pa.array(found.distinct), pa.array(found.texts, pa.string())], schema=_TEXTS)
        with self._path(name).with_suffix(".texts").open("ab") as file:
            file.write(batch.serialize())

    def texts(self, name: str, keys: NDArray[np.uint64]) -> list[str]:
        """Return the text of each of some distinct keys."""
        order = np.argsort(keys)
        ordered, found = keys[order], np.empty(len(keys), dtype=object)
        missing, left = np.ones(len(keys), dtype=bool), len(keys)
        with pa.OSFile(str(self._path(name).with_suffix(".texts"))) as file:
            for message in pa.ipc.MessageReader.open_stream(file):
                batch = pa.ipc.read_record_batch(message, _TEXTS)
                there = batch["key"].to_numpy()
                places = np.minimum(np.searchsorted(ordered, there), len(keys) - 1)
                known = np.flatnonzero((ordered[places] == there) & missing[places])
                new, first = np.unique(places[known], return_index=True)  # a batch may hold a key twice
                found[order[new]] = batch["text"].take(pa.array(known[first])).to_pylist()
                missing[new] = False
                left -= len(new)
                if not left:
                    break
        return list(found)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._slots.setdefault(name, len(self._slots))}.column"


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return keys or numbers in 4 bytes each, where that loses nothing: fewer bytes are written and read."""
    if array.dtype == np.uint64 and array.size and array.max() <= np.iinfo(np.uint32).max:
        return array.astype(np.uint32)
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):
            small = array.astype(np.float32)
        return small if np.array_equal(small, array, equal_nan=True) else array
    return array


def _gathered(sizes: Sequence[int]) -> Iterator[slice]:
    """Cut chunks into runs of about `_SEGMENT` values."""
    start, values = 0, 0
    for number, size in enumerate(sizes):
        values += size
        if values >= _SEGMENT:
            yield slice(start, number + 1)
            start, values = number + 1, 0
    if values:
        yield slice(start, len(sizes))
