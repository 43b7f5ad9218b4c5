"""Reading of raw files, preparation and batches."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv as pcsv

from nasrec_automl.data.batches import TrainingBatches
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.synthetic import make_synthetic
from tests.benchmarks.measure import Figure, interleaved

_ROWS, _BATCHES = 200_000, 2000
_FILE_ROWS, _DISTINCT = 500_000, 20_000
# Of this many rows one is bad: as many as are allowed.
_BAD = 1000


def _measure() -> list[Figure]:
    raw = make_synthetic(_ROWS, 0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data = prepare(raw, Path(folder) / "data")
        prepared = time.perf_counter() - start
        start = time.perf_counter()
        for _ in TrainingBatches(data.part(Part.TRAIN), 512, 0, _BATCHES):
            pass
        read = time.perf_counter() - start
    return [
        Figure("preparing synthetic rows, in memory", _ROWS / prepared, "rows/s"),
        Figure("batches of 512 from memory-mapped files", 512 * _BATCHES / read, "rows/s"),
    ]


def _reading() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        clean, dirty = Path(name) / "clean.txt", Path(name) / "dirty.txt"
        _write_criteo(clean, bad=False)
        _write_criteo(dirty, bad=True)
        taken = interleaved([_ours, _pandas, _arrow], [clean], repeats=3)
        slowed = interleaved([_ours], [clean, dirty], repeats=3)[0]
    rows = f"reading a Criteo file of {_FILE_ROWS:,} rows"
    ours, pandas, arrow = (_FILE_ROWS / of_run[0] for of_run in taken)
    return [
        Figure(f"{rows}, checked", ours, "rows/s", f"pandas read_csv ({pandas:,.0f})", ours / pandas),
        Figure(f"{rows}, checked", ours, "rows/s", f"pyarrow open_csv ({arrow:,.0f})", ours / arrow),
        Figure(f"{rows}, 0.1 % bad", _FILE_ROWS / slowed[1], "rows/s", "without bad rows", slowed[0] / slowed[1]),
    ]


def _ours(path: Path) -> None:
    for _ in criteo([path]).chunks(Rejections(0.01)):
        pass


def _pandas(path: Path) -> None:
    with pd.read_csv(path, sep="\t", header=None, chunksize=1 << 17) as chunks:
        for _ in chunks:
            pass


def _arrow(path: Path) -> None:
    names = pcsv.ReadOptions(autogenerate_column_names=True)
    for _ in pcsv.open_csv(path, names, pcsv.ParseOptions(delimiter="\t")):
        pass


def _write_criteo(path: Path, *, bad: bool) -> None:
    draw = np.random.default_rng(0)
    numbers = draw.geometric(0.01, (_DISTINCT, 13)) - 2
    categories = draw.integers(0, 2**32, (_DISTINCT, 26))
    missing = draw.random((_DISTINCT, 39)) < 0.1
    lines = []
    for i in range(_DISTINCT):
        fields = [*map(str, numbers[i]), *(f"{value:08x}" for value in categories[i])]
        kept = ("" if gone else field for gone, field in zip(missing[i], fields, strict=True))
        lines.append(("" if bad and i % _BAD == 0 else "\t".join([str(i % 4 // 3), *kept])) or "one field")
    with path.open("w", encoding="ascii") as file:
        for _ in range(_FILE_ROWS // _DISTINCT):
            file.write("\n".join(lines) + "\n")


MEASUREMENTS = {"preparation": _measure, "reading": _reading}
