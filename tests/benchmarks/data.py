"""Raw files to batches: reading, preparing, the way into training."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.csv as pcsv
import torch

from nasrec_automl import load_search_space
from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.rejections import Rejections
from tests.benchmarks import criteo as networks
from tests.benchmarks import criteo_file
from tests.benchmarks.measure import THREADS, Figure, interleaved, seconds

_READ_ROWS = 500_000
_SIZES = (1_000_000, 5_000_000)
_RATE, _MEMORY = 400_000, 1000  # rows a second; MB
_BATCH_RATE, _SHARE = 5_000_000, 0.03
# Of this many rows one is bad: as many as are allowed.
_BAD = 1000
_STEPS = 12

_PREPARE = """
import json, resource, sys, time
from pathlib import Path
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.readers.criteo import criteo
start = time.perf_counter()
prepare(criteo([Path(sys.argv[1])]), sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - start, "megabytes": peak}))
"""


def _reading() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        clean, dirty = Path(name) / "clean.txt", Path(name) / "dirty.txt"
        criteo_file.write(clean, _READ_ROWS)
        criteo_file.write(dirty, _READ_ROWS, bad=_BAD)
        taken = interleaved([_ours, _pandas, _arrow], [clean], repeats=3)
        slowed = interleaved([_ours], [clean, dirty], repeats=3)[0]
    rows = f"reading a Criteo file of {_READ_ROWS:,} rows"
    ours, pandas, arrow = (_READ_ROWS / of_run[0] for of_run in taken)
    return [
        Figure(f"{rows}, checked", ours, "rows/s", f"pandas read_csv ({pandas:,.0f})", ours / pandas),
        Figure(f"{rows}, checked", ours, "rows/s", f"pyarrow open_csv ({arrow:,.0f})", ours / arrow),
        Figure(f"{rows}, 0.1 % bad", _READ_ROWS / slowed[1], "rows/s", "without bad rows", slowed[0] / slowed[1]),
    ]


def _preparation() -> list[Figure]:
    """Prepare files of two sizes, each in a fresh process; then read the larger one's batches."""
    figures = []
    with tempfile.TemporaryDirectory() as name:
        for rows in _SIZES:
            path, output = Path(name) / "train.txt", Path(name) / "prepared"
            criteo_file.write(path, rows)
            others = {run.__name__[1:]: rows / seconds(partial(run, path)) for run in (_pandas, _arrow)}
            run = subprocess.run(
                [sys.executable, "-c", _PREPARE, str(path), str(output)], check=True, capture_output=True, text=True
            )
            taken = json.loads(run.stdout)
            rate, what = rows / taken["seconds"], f"preparing a Criteo file of {rows:,} rows"
            read = ", ".join(f"{reader} reads {speed:,.0f}" for reader, speed in others.items())
            figures += [
                Figure(what, rate, "rows/s", f"{_RATE:,} rows/s asked ({read})", rate / _RATE, 1.0),
                Figure(
                    f"{what}: peak memory",
                    taken["megabytes"],
                    "MB",
                    f"{_MEMORY:,} MB allowed",
                    _MEMORY / taken["megabytes"],
                    1.0,
                ),
            ]
        figures += _batches(PreparedData.open(output))
    return figures


def _batches(data: PreparedData) -> list[Figure]:
    figures = []
    train = data.part(Part.TRAIN)
    for size in (512, 8192):
        for what, batches in (
            ("training", TrainingBatches(train, size, 0, len(train) // size)),
            ("evaluation", EvaluationBatches(train, size)),
        ):
            rate = len(batches) * size / seconds(partial(_exhaust, batches))
            name = f"{what} batches of {size} from memory-mapped files"
            figures.append(Figure(name, rate, "rows/s", f"{_BATCH_RATE:,} rows/s asked", rate / _BATCH_RATE, 1.0))
        step = _step_seconds(size) if size == 512 else None
        if step is not None:
            share = size / (figures[-2].value * step)
            figures.append(
                Figure(
                    "training batch of 512 beside a supernet step of nasrec-full",
                    100 * share,
                    "%",
                    f"step: {1000 * step:,.0f} ms; {100 * _SHARE:.0f} % allowed",
                    _SHARE / share,
                    1.0,
                )
            )
    return figures


def _step_seconds(size: int) -> float:
    """Mean time of a supernet step over some paths."""
    torch.set_num_threads(THREADS)
    training, data = networks.training(networks.supernet("nasrec-full", 10_000)), networks.batch(size, 10_000)
    paths = [a.path for a in networks.architectures(load_search_space("nasrec-full"), _STEPS)]
    for path in paths[:2]:
        training.step(data, path)
    start = time.perf_counter()
    for path in paths:
        training.step(data, path)
    return (time.perf_counter() - start) / len(paths)


def _exhaust(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


def _ours(path: Path) -> None:
    _exhaust(criteo([path]).chunks(Rejections(0.01)))


def _pandas(path: Path) -> None:
    with pd.read_csv(path, sep="\t", header=None, chunksize=1 << 17) as chunks:
        _exhaust(chunks)


def _arrow(path: Path) -> None:
    names = pcsv.ReadOptions(autogenerate_column_names=True)
    _exhaust(pcsv.open_csv(path, names, pcsv.ParseOptions(delimiter="\t")))


MEASUREMENTS = {"preparation": _preparation, "reading": _reading}
