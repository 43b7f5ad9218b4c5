"""What a reader hands to preparation: a stream of chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.values import numbers
from nasrec_automl.errors import DataError
from nasrec_automl.yaml_files import first_complaint

Fold = Literal["training", "validation", "test"]
FOLDS: tuple[Fold, ...] = get_args(Fold)

CHUNK_ROWS = 1 << 16

COLUMN_NOTES = ("label_column", "weight_column", "time_column")
"""Notes of a table that say which columns its rows' facts were made of, where there are such; the first always is."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some successive examples of a source.

    Attributes:
        table: raw columns, as a user of `predict` has them; without the label and what it was made of.
        label: `(n,)` uint8, 0 or 1.
        row: `(n,)` int64, ascending: the accepted row, from 0, that each example was made of. Examples of one row
            are in one chunk, and belong to one part of a split.
        weight: `(n,)` float32, how many times each example counts; None where each counts once.
        time: `(n,)` float64, when each happened; None where that is unknown.
        fold: `(n,)` uint8, positions in `FOLDS`, where the source says what each example is for.
    """

    table: pa.Table | pd.DataFrame
    label: NDArray[np.uint8]
    row: NDArray[np.int64]
    weight: NDArray[np.float32] | None = None
    time: NDArray[np.float64] | None = None
    fold: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True)
class RawSource(ABC):
    """Raw data that are read in chunks.

    Attributes:
        name: of the data set.
        label_description: what a 1 means.
        dense: what to make of each number feature.
        categorical: table options of each categorical feature.
        derived: columns to compute first.
        notes: facts for the report, such as the log loss that no model can beat.
    """

    name: str
    label_description: str
    dense: Mapping[str, DenseOptions]
    categorical: Mapping[str, CategoricalOptions]
    derived: tuple[DerivedColumn, ...] = ()
    notes: Mapping[str, float | int | str] = field(default_factory=dict)

    @abstractmethod
    def chunks(self, rejections: Rejections) -> Iterator[Chunk]:
        """Read all rows from the beginning; every call gives the same chunks.

        Args:
            rejections: the account of this reading. It is complete when the last chunk has been read, and then raises
                if too many rows are bad.

        Raises:
            DataError: the files cannot be read, or too many rows are bad.
        """


@dataclass(frozen=True, kw_only=True)
class RawData(RawSource):
    """Raw data in memory.

    Attributes:
        frame: raw columns, as a user of `predict` has them; without the label and what it was made of.
        label: 0 or 1 for each row of `frame`.
        time: a number for each row that says when it happened; None where that is unknown.
        weight: how many times each row counts, at least 0; None where each counts once.
        group: rows of one group stand together in `frame` and belong to one part of a split; None where each row is
            on its own.
    """

    frame: pd.DataFrame
    label: pd.Series[Any]
    time: pd.Series[Any] | None = None
    weight: pd.Series[Any] | None = None
    group: pd.Series[Any] | None = None

    def chunks(self, rejections: Rejections) -> Iterator[Chunk]:
        """Give the rows in chunks; with groups, in one.

        Raises:
            DataError: a label that is not 0 or 1, a negative weight, not one of them or one time or group for each row,
                or a group in several places.
        """
        label, weight, time = self._checked_label(), self._checked_weight(), self._checked_time()
        row = self._rows_of_groups()
        rejections.begin()
        size = CHUNK_ROWS if self.group is None else max(1, len(label))
        for start in range(0, len(label), size):
            some = slice(start, start + size)
            yield Chunk(
                table=self.frame.iloc[some].reset_index(drop=True),
                label=label[some],
                row=row[some],
                weight=None if weight is None else weight[some],
                time=None if time is None else time[some],
            )

    def _check_length(self, values: pd.Series[Any], what: str) -> None:
        if len(values) != len(self.frame):
            raise DataError(
                f"{self.name}: expected one {what} for each row, but {len(self.frame)} rows came with {len(values)} "
                f"{what}s: give each row its own"
            )

    def _checked_label(self) -> NDArray[np.uint8]:
        self._check_length(self.label, "label")
        values = numbers(self.label, "label")
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if wrong.size:
            row = int(wrong[0])
            raise DataError(
                f"{self.name}: a label must be 0 or 1, but row {row + 1} (the first is 1) has "
                f"{str(self.label.iloc[row])!r} ({wrong.size} such rows): correct or remove them"
            )
        return values.astype(np.uint8)

    def _checked_weight(self) -> NDArray[np.float32] | None:
        if self.weight is None:
            return None
        values = numbers(self.weight, "weight")
        if len(values) != len(self.frame) or not (values >= 0).all():
            raise DataError(f"{self.name}: expected a weight of at least 0 for each of the {len(self.frame)} rows")
        return values.astype(np.float32)

    def _checked_time(self) -> NDArray[np.float64] | None:
        if self.time is None:
            return None
        self._check_length(self.time, "time")
        return numbers(self.time, "time")

    def _rows_of_groups(self) -> NDArray[np.int64]:
        if self.group is None:
            return np.arange(len(self.frame))
        self._check_length(self.group, "group")
        codes, groups = pd.factorize(self.group)
        rows = np.cumsum(np.diff(codes, prepend=codes[:1]) != 0)
        if len(rows) and rows[-1] + 1 != len(groups):
            raise DataError(f"{self.name}: rows of one group must stand together: sort the rows by their group")
        return rows.astype(np.int64)


def is_table(source: RawSource) -> bool:
    """Say whether a source is a table of one's own, so that what it declares is what its user wrote."""
    return COLUMN_NOTES[0] in source.notes


Source = TypeVar("Source", bound=RawSource)


def with_defaults(source: Source, defaults: Mapping[str, Mapping[str, Any]]) -> Source:
    """Return a source with other options of all its fields than it declares.

    Args:
        source: raw data of any kind but a table, whose schema takes defaults as it is read.
        defaults: by `categorical` and `dense`, options of `CategoricalOptions` and `DenseOptions` to set.

    Raises:
        DataError: options that do not fit together.
    """
    made = with_tables(source, fields=dict.fromkeys(source.categorical, defaults.get("categorical", {})))
    options = defaults.get("dense", {})
    try:
        dense = {name: DenseOptions(**{**declared.model_dump(), **options}) for name, declared in source.dense.items()}
    except ValidationError as error:
        raise DataError(f"{source.name}, number features: {first_complaint(error)}") from None
    return replace(made, dense=dense)


def with_tables(
    source: Source, *, hash_above: int | None = None, fields: Mapping[str, Mapping[str, Any]] | None = None
) -> Source:
    """Return a source with other options of its tables than it declares.

    Args:
        source: raw data of any kind.
        hash_above: rows of the largest table; a field that needs more is hashed into so many. It takes the place of
            the source's own `hash_above`, which it may exceed; but of a table's schema the smaller of the two counts,
            for its user asked for both. Compositional fields are left alone; one that `fields` makes compositional
            loses the source's own `hash_above`, too.
        fields: by field, options of `CategoricalOptions` to set.

    Raises:
        DataError: no such field, or options that do not fit together.
    """
    changes = fields or {}
    if unknown := [name for name in changes if name not in source.categorical]:
        raise DataError(
            f"{source.name} has no categorical field {unknown[0]!r}; the fields are {', '.join(source.categorical)}"
        )
    made = {}
    for name, declared in source.categorical.items():
        options = {**declared.model_dump(), **changes.get(name, {})}
        if options["compositional"] is None:
            own = options["hash_above"]
            if hash_above is not None and (own is None or own > hash_above or not is_table(source)):
                options["hash_above"] = hash_above
        elif declared.compositional is None:  # the source's cap was meant for a table of whole rows
            options["hash_above"] = changes.get(name, {}).get("hash_above")
        try:
            made[name] = CategoricalOptions(**options)
        except ValidationError as error:
            raise DataError(f"{source.name}, field {name!r}: {first_complaint(error)}") from None
    return replace(source, categorical=made)
