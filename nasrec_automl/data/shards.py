"""Writing prepared rows: shards of row-major arrays that readers map into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nasrec_automl.data.description import PartDescription, ShardDescription
from nasrec_automl.data.parts import Part

SHARD_ROWS = 1 << 22


class _Array:
    """A `.npy` file that grows: its header keeps room for the number of rows."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._digest = hashlib.sha256()
        self._like: NDArray[Any] | None = None
        self._rows = 0

    def add(self, rows: NDArray[Any]) -> None:
        if self._like is None:
            self._like = rows[:0]
            self._write_header()
        content = np.ascontiguousarray(rows).data
        self._digest.update(content)
        self._file.write(content)
        self._rows += len(rows)

    def close(self) -> str:
        """Finish the file and return the checksum of its values."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        return self._digest.hexdigest()

    def _write_header(self) -> None:
        assert self._like is not None
        header = npy.header_data_from_array_1_0(self._like)
        header["shape"] = (self._rows, *self._like.shape[1:])
        npy.write_array_header_1_0(self._file, header)


class ShardWriter:
    """Writes the rows of one part. `prepare` gives it rows in their order, some at a time.

    Args:
        folder: of the data set.
        part: whose rows they are.
        first: number of the first shard.
    """

    def __init__(self, folder: Path, part: Part, first: int = 0) -> None:
        self._folder = folder
        self._part = part
        self._first = first
        self._arrays: dict[str, _Array] = {}
        self._rows = 0
        self._shards: list[ShardDescription] = []

    def add(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Write rows: arrays of equal length by name, always the same names."""
        count = len(rows["label"])
        start = 0
        while start < count:
            end = min(count, start + SHARD_ROWS - self._rows)
            for name, array in rows.items():
                self._array(name).add(array[start:end])
            self._rows += end - start
            start = end
            if self._rows == SHARD_ROWS:
                self._close_shard()

    def close(self) -> tuple[ShardDescription, ...]:
        """Finish the last shard and describe what was written."""
        if self._rows:
            self._close_shard()
        return tuple(self._shards)

    def _array(self, name: str) -> _Array:
        if name not in self._arrays:
            shard = self._folder / self._name
            shard.mkdir(parents=True, exist_ok=True)
            self._arrays[name] = _Array(shard / f"{name}.npy")
        return self._arrays[name]

    def _close_shard(self) -> None:
        checksums = {name: array.close() for name, array in self._arrays.items()}
        self._shards.append(ShardDescription(folder=self._name, rows=self._rows, checksums=checksums))
        self._arrays, self._rows = {}, 0

    @property
    def _name(self) -> str:
        return f"{self._part}/{self._first + len(self._shards):05d}"


def describe(folder: Path, shards: Sequence[ShardDescription]) -> PartDescription:
    """Describe a part by the labels and weights of its shards in a data set's folder."""
    rows, positive, weight = 0, 0.0, 0.0
    weighted = any("weight" in shard.checksums for shard in shards)
    for shard in shards:
        label = np.load(folder / shard.folder / "label.npy", mmap_mode="r")
        if weighted:
            weights = np.load(folder / shard.folder / "weight.npy", mmap_mode="r")
            weight += float(weights.sum(dtype=np.float64))
            positive += float(weights[label == 1].sum(dtype=np.float64))
        else:
            positive += float(np.count_nonzero(label))
        rows += shard.rows
    return PartDescription(
        rows=rows,
        positive_rate=positive / ((weight if weighted else rows) or 1),
        weight=weight if weighted else None,
        shards=tuple(shards),
    )
