"""Which raw columns become which features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.values import RawColumn
from nasrec_automl.errors import DataError

RawRows: TypeAlias = pd.DataFrame | pa.Table | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Raw rows of a user: a table, a row as a dict by column, or a list of such dicts."""


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

    def table(self, rows: RawRows) -> pd.DataFrame | pa.Table:
        """Return raw rows as a table. What one dict lacks and another has is missing.

        Raises:
            DataError: these are no rows; names their type.
        """
        if isinstance(rows, pd.DataFrame | pa.Table):
            return rows
        dicts = [rows] if isinstance(rows, Mapping) else rows
        if not isinstance(dicts, list | tuple) or not all(isinstance(row, Mapping) for row in dicts):
            raise _no_rows(rows)
        # As objects, so that whole numbers beside a missing one stay exact.
        return pd.DataFrame(dicts, columns=None if dicts else self.raw_columns, dtype=object)

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


def _no_rows(rows: object) -> DataError:
    came = _type_of(rows)
    if isinstance(rows, list | tuple):
        came = f"a {came} with {_type_of(next(row for row in rows if not isinstance(row, Mapping)))}"
    advice = ": give its `.to_arrow()`" if hasattr(rows, "to_arrow") else ""  # polars
    return DataError(
        "expected raw rows as a pandas DataFrame, an Arrow table, a dict by column, or a list of such dicts, but "
        f"{came} came{advice}"
    )


def _type_of(value: object) -> str:
    """Name a type with its module: several libraries have a DataFrame."""
    made = type(value)
    return made.__qualname__ if made.__module__ == "builtins" else f"{made.__module__}.{made.__qualname__}"


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
