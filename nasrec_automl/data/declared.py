"""Which raw columns become which features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.values import RawColumn
from nasrec_automl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The features that are made of raw columns, in the order of a network's inputs.

    Attributes:
        dense: number features.
        categorical: categorical features.
        derived: columns computed of raw ones first, in this order.
    """

    dense: Mapping[str, DenseOptions]
    categorical: Mapping[str, CategoryFormat]
    derived: tuple[DerivedColumn, ...] = ()

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The columns that raw rows must have."""
        made = {column.name for column in self.derived}
        names = [column.source for column in self.derived]
        names += [name for name in (*self.dense, *self.categorical) if name not in made]
        return tuple(dict.fromkeys(names))

    def columns(self, rows: pd.DataFrame | pa.Table, *, checked: bool = False) -> Mapping[str, RawColumn]:
        """Return the raw columns that features are made of, and the derived ones, by name.

        Args:
            rows: raw rows.
            checked: whether a reader has made sure of the encoding of a table's texts.

        Raises:
            DataError: a column is missing, there twice, or of texts that are not UTF-8.
        """
        names = rows.column_names if isinstance(rows, pa.Table) else list(rows.columns)
        _check(names, self.raw_columns)
        found: dict[str, RawColumn] = {name: rows[name] for name in self.raw_columns}
        if isinstance(rows, pa.Table) and not checked:
            for name in self.raw_columns:
                _check_encoding(rows[name], name)
        made = {column.name: pd.Series(column.apply(found[column.source])) for column in self.derived}
        return {**found, **made}


def _check_encoding(column: pa.ChunkedArray, name: str) -> None:
    try:
        column.validate(full=True)  # Arrow makes texts of any bytes
    except pa.ArrowInvalid as error:
        raise DataError(f"column {name!r} must hold texts in UTF-8, but some are not ({error}): correct them") from None


def _check(present: list[str], expected: Iterable[str]) -> None:
    names = list(expected)
    if missing := [name for name in names if name not in present]:
        raise DataError(
            f"the data lack the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"expected {', '.join(names)}"
        )
    if twice := [name for name in names if present.count(name) > 1]:
        raise DataError(f"the data have several columns named {', '.join(twice)}; expected one of each name")
