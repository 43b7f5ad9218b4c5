"""What a reader hands to preparation: a stream of chunks, or all rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DerivedColumn, Transform
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.values import numbers
from nasrec_automl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some successive examples of a source.

    Attributes:
        table: raw columns, as a user of `predict` has them; without the label and what it was made of.
        label: `(n,)` uint8, 0 or 1.
        row: `(n,)` int64, ascending: the accepted row, from 0, that each example was made of. Examples of one row
            belong to one part of a split.
        weight: `(n,)` float32, how many times each example counts; None where each counts once.
        time: `(n,)` float64, when each happened; None where that is unknown.
    """

    table: pa.Table
    label: NDArray[np.uint8]
    row: NDArray[np.int64]
    weight: NDArray[np.float32] | None = None
    time: NDArray[np.float64] | None = None


class RawSource(Protocol):
    """Raw data that are read in chunks. The attributes are those of `RawData`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def label_description(self) -> str: ...  # noqa: D102
    @property
    def dense(self) -> Mapping[str, Transform]: ...  # noqa: D102
    @property
    def categorical(self) -> Mapping[str, CategoricalOptions]: ...  # noqa: D102
    @property
    def derived(self) -> tuple[DerivedColumn, ...]: ...  # noqa: D102
    @property
    def notes(self) -> Mapping[str, float | int | str]: ...  # noqa: D102

    def chunks(self, rejections: Rejections) -> Iterator[Chunk]:
        """Read all rows from the beginning; every call gives the same chunks.

        Args:
            rejections: the account of this reading. It is complete when the last chunk has been read, and then raises
                if too many rows are bad.

        Raises:
            DataError: the files cannot be read, or too many rows are bad.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RawData:
    """Raw columns with their declarations. Readers make it, `prepare` uses it.

    Attributes:
        name: of the data set.
        frame: raw columns, as a user of `predict` has them; without the label and what it was made of.
        label: 0 or 1 for each row of `frame`.
        label_description: what a 1 means.
        dense: transform of each number feature.
        categorical: table options of each categorical feature.
        derived: columns to compute first.
        time: a number for each row that says when it happened; None where that is unknown.
        notes: facts for the report, such as the log loss that no model can beat.
        weight: how many times each row counts; None where each counts once.
    """

    name: str
    frame: pd.DataFrame
    label: pd.Series[Any]
    label_description: str
    dense: Mapping[str, Transform]
    categorical: Mapping[str, CategoricalOptions]
    derived: tuple[DerivedColumn, ...] = ()
    time: pd.Series[Any] | None = None
    notes: Mapping[str, float | int | str] = field(default_factory=dict)
    weight: pd.Series[Any] | None = None

    @classmethod
    def of(cls, source: RawSource, rejections: Rejections | None = None) -> Self:
        """Read a whole source into memory.

        Args:
            source: of moderate size.
            rejections: the account of the reading; the default limit without it.

        Raises:
            DataError: the files cannot be read, or too many rows are bad.
        """
        account = rejections if rejections is not None else Rejections()
        chunks = list(source.chunks(account))
        table = pa.concat_tables([chunk.table for chunk in chunks])
        for position, name in enumerate(table.column_names):
            # In a frame, integers with one missing would become floats, and ids above 2**53 others.
            if name in source.categorical and pa.types.is_integer(table.schema.types[position]):
                table = table.set_column(position, name, table[name].cast(pa.string()))
        return cls(
            name=source.name,
            frame=table.to_pandas(),
            label=pd.Series(np.concatenate([chunk.label for chunk in chunks]), name="label"),
            label_description=source.label_description,
            dense=source.dense,
            categorical=source.categorical,
            derived=source.derived,
            time=_joined([chunk.time for chunk in chunks], "time"),
            notes={**source.notes, **account.notes()},
            weight=_joined([chunk.weight for chunk in chunks], "weight"),
        )

    def with_tables(
        self, *, hash_above: int | None = None, fields: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Self:
        """Have tables made otherwise than the reader declared.

        Args:
            hash_above: rows of the largest table; a field that needs more is hashed into so many. Compositional
                fields are left alone.
            fields: by field, options of `CategoricalOptions` to set.

        Raises:
            DataError: no such field, or options that do not fit together.
        """
        changes = fields or {}
        if unknown := [name for name in changes if name not in self.categorical]:
            raise DataError(
                f"{self.name} has no categorical field {unknown[0]!r}; the fields are {', '.join(self.categorical)}"
            )
        made = {}
        for name, declared in self.categorical.items():
            options = {**declared.model_dump(), **changes.get(name, {})}
            if options["compositional"] is None and hash_above is not None:
                options["hash_above"] = hash_above
            try:
                made[name] = CategoricalOptions(**options)
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise DataError(f"{self.name}, field {name!r}: {message}") from None
        return replace(self, categorical=made)

    def checked_label(self) -> NDArray[np.uint8]:
        """Return the labels `(rows,)`.

        Raises:
            DataError: a label that is not 0 or 1, or not one label for each row.
        """
        if len(self.label) != len(self.frame):
            raise DataError(
                f"{self.name}: expected one label for each row, but {len(self.frame)} rows came with "
                f"{len(self.label)} labels"
            )
        values = numbers(self.label.rename("label"))
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if wrong.size:
            row = int(wrong[0])
            raise DataError(
                f"{self.name}: a label must be 0 or 1, but row {row + 1} (the first is 1) has "
                f"{str(self.label.iloc[row])!r} ({wrong.size} such rows): correct or remove them"
            )
        return values.astype(np.uint8)


def _joined(arrays: list[Any], name: str) -> pd.Series[Any] | None:
    return None if arrays[0] is None else pd.Series(np.concatenate(arrays), name=name)
