"""A generated file in Criteo's raw format, with as many categories as Kaggle's has, frequent and rare ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

# Distinct values of C1 to C26 in Kaggle's train.txt.
_CATEGORIES = (
    *(1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5683, 8_351_593, 3194, 27, 14_992, 5_461_306),
    *(10, 5652, 2173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572),
)
_MISSING = 0.1
_BLOCK = 200_000
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def write(path: Path, rows: int, *, bad: int = 0, seed: int = 0) -> None:
    """Write a file whose every `bad`-th row has one field alone; none if 0."""
    draw = np.random.default_rng(seed)
    options = pcsv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as file:
        for start in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - start)
            columns = [pa.array((draw.random(count) < 0.25).astype(np.int8))]
            columns += [_with_gaps(pa.array(draw.geometric(0.02, count) - 2), draw) for _ in range(13)]
            columns += [
                _with_gaps(_category(size, count, number, draw), draw) for number, size in enumerate(_CATEGORIES)
            ]
            pcsv.write_csv(pa.table(columns, [f"c{i}" for i in range(40)]), file, options)
            if bad:
                file.write(b"one field\n" * (count // bad))


def _category(size: int, count: int, column: int, draw: np.random.Generator) -> pa.Array:
    """Draw `count` of `size` categories, the first ones far more often, as 8 hex digits."""
    places = (size * draw.random(count) ** 4).astype(np.uint64) + np.uint64(column << 24)
    values = (places * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)).astype(np.uint32)
    return pa.Array.from_buffers(
        pa.string(),
        count,
        [None, pa.py_buffer(np.arange(0, 8 * count + 1, 8, dtype=np.int32)), pa.py_buffer(_digits(values))],
    )


def _digits(values: NDArray[np.uint32]) -> NDArray[np.uint8]:
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    return _HEX[(values[:, None] >> shifts & np.uint32(15))]


def _with_gaps(array: pa.Array, draw: np.random.Generator) -> pa.Array:
    keep = draw.random(len(array)) >= _MISSING
    return pc.if_else(pa.array(keep), array, None)
