"""Preparation and batches on synthetic data."""

import tempfile
import time
from pathlib import Path

from nasrec_automl.data.batches import TrainingBatches
from nasrec_automl.data.dataset import Part, prepare
from nasrec_automl.data.synthetic import make_synthetic
from tests.benchmarks.measure import Figure

_ROWS, _BATCHES = 200_000, 2000


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


MEASUREMENTS = {"preparation": _measure}
