"""All rows of a source on disk while they are prepared: a file for each encoded column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.keys import Keys

_SEGMENT = 1 << 21  # values that are read at once


class Spill:
    """Columns on disk, written in chunks and read again.

    They are read into memory and not mapped: the pages of a mapped file would count as this process's memory.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots: dict[str, int] = {}  # a column's name may be no file's
        self._types: dict[str, tuple[np.dtype[Any], int]] = {}
        self._texts: dict[str, pa.RecordBatchStreamWriter] = {}
        self.chunks: list[int] = []

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.chunks)

    @property
    def starts(self) -> list[tuple[int, int]]:
        """Each chunk's first row and number of rows."""
        ends = np.cumsum(self.chunks).tolist()
        return [(end - count, count) for end, count in zip(ends, self.chunks, strict=True)]

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write a chunk: arrays `(n,)` or `(n, K)` with the same names, types and widths each time."""
        for name, array in columns.items():
            self.write(name, array)
        self.chunks.append(len(next(iter(columns.values()))))

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Write the next rows of one column."""
        self._types.setdefault(name, (array.dtype, 1 if array.ndim == 1 else array.shape[1]))
        with self._path(name).open("ab") as file:
            file.write(np.ascontiguousarray(array).data)

    def has(self, name: str) -> bool:
        """Say whether there is such a column."""
        return name in self._types

    def read(self, name: str, start: int, count: int) -> NDArray[Any]:
        """Read rows of a column: `(n,)`, or `(n, K)` where K is above 1."""
        dtype, width = self._types[name]
        array = np.fromfile(self._path(name), dtype, count * width, offset=start * width * dtype.itemsize)
        return array if width == 1 else array.reshape(count, width)

    def segments(self, *names: str) -> Iterator[tuple[NDArray[Any], ...]]:
        """Read columns side by side from the beginning, about two million values at a time."""
        size = max(1, _SEGMENT // max(self._types[name][1] for name in names)) if self.rows else 1
        for start in range(0, self.rows, size):
            yield tuple(self.read(name, start, min(size, self.rows - start)) for name in names)

    def write_texts(self, name: str, found: Keys) -> None:
        """Keep the texts of a column's keys."""
        if not len(found.distinct):
            return
        batch = pa.record_batch([pa.array(found.distinct), pa.array(found.texts, pa.string())], names=["key", "text"])
        if name not in self._texts:
            self._texts[name] = pa.ipc.new_stream(str(self._path(name).with_suffix(".texts")), batch.schema)
        self._texts[name].write_batch(batch)

    def texts(self, name: str, keys: NDArray[np.uint64]) -> list[str]:
        """Return the text of each of some distinct keys. No more texts can be written after it."""
        self._texts[name].close()
        order = np.argsort(keys)
        ordered, found = keys[order], np.full(len(keys), None, dtype=object)
        with pa.ipc.open_stream(str(self._path(name).with_suffix(".texts"))) as reader:
            for batch in reader:
                there = batch["key"].to_numpy()
                places = np.minimum(np.searchsorted(ordered, there), len(keys) - 1)
                known = np.flatnonzero((ordered[places] == there) & (found[order[places]] == None))  # noqa: E711
                found[order[places[known]]] = batch["text"].take(pa.array(known)).to_pylist()
                if not (found == None).any():  # noqa: E711
                    break
        return list(found)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._slots.setdefault(name, len(self._slots))}.column"
