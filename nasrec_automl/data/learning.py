"""Learning tables and transforms of the training rows on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.categorical import Candidates, CategoricalColumn, CategoricalOptions
from nasrec_automl.data.columns import DenseColumn, DenseOptions
from nasrec_automl.data.counting import count_keys
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.keys import Keys, hex_texts
from nasrec_automl.data.parts import PARTS, TRAINING
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.readers.parallel import map_ahead
from nasrec_automl.data.spill import Spill
from nasrec_automl.data.statistics import DenseStatistics, FieldCounter, FieldStatistics, Statistics
from nasrec_automl.data.values import numbers

PART = "part"
_IS_TRAINING = "is training"
_THREADS = 4  # each holds a share of a column's categories: memory must not grow with the cores
_TRAINING_CODES = [PARTS.index(part) for part in TRAINING]


def field_column(name: str) -> str:
    """Name of a categorical feature's keys in a spill."""
    return f"field {name}"


def dense_column(name: str) -> str:
    """Name of a number feature's values in a spill."""
    return f"dense {name}"


def encode(rows: pd.DataFrame | pa.Table, declared: Declared) -> tuple[dict[str, NDArray[np.float64]], dict[str, Keys]]:
    """Return the values `(B,)` of each number feature and the keys `(B, K)` of each categorical one.

    A table is a reader's, which has checked encoding and hex digits.

    Raises:
        DataError: a column is missing, or a value that should be a number is not.
    """
    checked = isinstance(rows, pa.Table)
    columns = declared.columns(rows, checked=checked)
    return (
        {name: numbers(columns[name], name) for name in declared.dense},
        {name: field.keys(columns[name], name, checked=checked) for name, field in declared.categorical.items()},
    )


def learn(
    spill: Spill,
    *,
    dense: Mapping[str, DenseOptions],
    categorical: Mapping[str, CategoricalOptions],
    declared: Declared,
    on_column: Callable[[], None],
) -> tuple[Preprocessing, Statistics]:
    """Learn of the training rows, and of no others: tables and transforms, and what the report says of each column.

    Args:
        spill: all rows, with their parts.
        dense: what to make of each number feature.
        categorical: table options of each categorical feature.
        declared: both, with derived columns.
        on_column: called after each column.
    """
    rows = 0
    for chunk in spill.chunks:
        training = np.isin(spill.read(PART, chunk), _TRAINING_CODES)
        rows += int(np.count_nonzero(training))
        spill.write(_IS_TRAINING, training)

    def fit(name: str) -> tuple[CategoricalColumn, FieldStatistics] | tuple[DenseColumn, DenseStatistics]:
        if name in dense:
            return _dense(spill, name, dense[name], rows)
        return _field(spill, name, categorical[name], rows)

    names = [*dense, *categorical]
    fitted = []
    for found in map_ahead(fit, names, threads=_THREADS):
        fitted.append(found)
        on_column()
    columns = [column for column, _ in fitted]
    preprocessing = Preprocessing.of(
        declared,
        dense=[column for column in columns if isinstance(column, DenseColumn)],
        categorical=[column for column in columns if isinstance(column, CategoricalColumn)],
    )
    statistics = Statistics(
        rows=rows,
        fields=tuple(found for _, found in fitted if isinstance(found, FieldStatistics)),
        dense=tuple(found for _, found in fitted if isinstance(found, DenseStatistics)),
    )
    return preprocessing, statistics


def _training(spill: Spill, column: str) -> Iterator[NDArray[Any]]:
    for values, training in spill.segments(column, _IS_TRAINING):
        yield values[training]


def _field(
    spill: Spill, name: str, options: CategoricalOptions, rows: int
) -> tuple[CategoricalColumn, FieldStatistics]:
    column = field_column(name)

    def pieces() -> Iterator[NDArray[np.uint64]]:
        return _training(spill, column)

    def texts(keys: NDArray[np.uint64]) -> list[str]:
        return hex_texts(keys) if options.format == "hex" or not len(keys) else spill.texts(column, keys)

    candidates, counter = Candidates(options), FieldCounter()
    for share in count_keys(pieces):
        candidates.add(*share)
        counter.add(*share)
        del share  # before the next one is counted
    if options.max_values is None:
        missing = rows - counter.values
    else:
        missing = sum(int((keys[:, 0] == 0).sum()) for keys in pieces())
    return (
        CategoricalColumn.learn(name, options, candidates, texts),
        counter.statistics(name, texts, rows=rows, missing=missing),
    )


def _dense(spill: Spill, name: str, options: DenseOptions, rows: int) -> tuple[DenseColumn, DenseStatistics]:
    def pieces() -> Iterator[NDArray[np.float64]]:
        return _training(spill, dense_column(name))

    known, total, low, high = 0, 0.0, np.inf, -np.inf
    for values in pieces():
        there = values[~np.isnan(values)]
        if there.size:
            known += there.size
            total += float(there.sum())
            low, high = min(low, float(there.min())), max(high, float(there.max()))
    statistics = DenseStatistics(
        name=name,
        missing=1 - known / max(1, rows),
        mean=total / known if known else None,
        low=low if known else None,
        high=high if known else None,
    )
    return DenseColumn.learn(name, options, pieces(), rows), statistics
