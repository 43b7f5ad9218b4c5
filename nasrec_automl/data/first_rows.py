"""The first rows of a file that has no schema yet, as texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.readers.inputs import read_blocks
from nasrec_automl.data.readers.kinds import TEXT, Column, Kind, instant, several
from nasrec_automl.data.readers.parquet import is_list, is_moment, is_single, read_parquet
from nasrec_automl.data.readers.table import is_parquet, separator_of
from nasrec_automl.data.readers.text import Layout, read_text, split_header
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.values import DECIMAL, MISSING_TEXTS
from nasrec_automl.errors import DataError

MOST_ROWS = 100_000
SEPARATOR: str = CategoryFormat().separator
"""Between the values of a cell that holds several, where a schema says no other."""
_FIELD_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, kw_only=True)
class FirstRows:
    """What `schema infer` looks at.

    Attributes:
        texts: the rows, None where a value is missing; a list is one text, a moment as in ISO 8601.
        rejections: the account of the reading.
        most: of each column of lists, how many values a row has at most.
        moments: columns of a type of dates or moments.
        unusable: columns that no role can read, with their types; they are not among the texts.
        separator: what stands between the fields of the lines, where the file's ending does not say so.
        all_read: whether these are all rows of the file.
    """

    texts: pd.DataFrame
    rejections: Rejections
    most: Mapping[str, int] = field(default_factory=dict)
    moments: frozenset[str] = frozenset()
    unusable: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None
    all_read: bool = True

    @property
    def bad_rows(self) -> str:
        """How many rows could not be read, and mostly why; empty where all could."""
        account = self.rejections
        if not account.rejected:
            return ""
        return f"{account.rejected:,} of the {account.read:,} rows read are bad and left out. {account.most_frequent()}"


def read_first_rows(path: Path) -> FirstRows:
    """Read the first 100,000 rows of a file.

    Args:
        path: CSV or TSV with a header, compressed or not, or Parquet.

    Raises:
        DataError: the file cannot be read, has no header, or has two columns of one name.
    """
    return _of_parquet(path) if is_parquet(path) else _of_text(path)


def _of_parquet(path: Path) -> FirstRows:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from None
    columns = [Column(column.name, _kind(column.type)) for column in schema]
    rejections = Rejections(limit=1.0)
    rows, all_read = _first(read_parquet(path, rejections, columns=columns))
    made: dict[str, pa.Array | pa.ChunkedArray] = {}
    most: dict[str, int] = {}
    for name in rows.column_names:
        if is_list(rows.schema.field(name).type):
            cells = [_known(cell) for cell in rows[name].to_pylist()]
            most[name] = max((len(cell) for cell in cells), default=0)
            made[name] = pa.array([SEPARATOR.join(cell) if cell else None for cell in cells], pa.string())
        else:
            made[name] = rows[name].cast(pa.string())
    return FirstRows(
        texts=pa.table(made).to_pandas(),
        rejections=rejections,
        most=most,
        moments=frozenset(column.name for column in schema if is_moment(column.type)),
        unusable={column.name: str(column.type) for column in schema if _kind(column.type) is None},
        all_read=all_read,
    )


def _kind(type_: pa.DataType) -> Kind | None:
    """Return the kind that values of a type are looked at as; None where no role can read them."""
    if is_list(type_):
        return several(SEPARATOR) if is_single(type_.value_type) else None
    if is_moment(type_):
        return instant("ISO8601")
    return TEXT if is_single(type_) else None


def _known(cell: list[str | None] | None) -> list[str]:
    return [value for value in cell or () if value is not None and value not in MISSING_TEXTS]


def _of_text(path: Path) -> FirstRows:
    own = separator_of(path)
    head = next(read_blocks(path)).content.partition(b"\n")[0]
    layout = Layout((), own or _FIELD_SEPARATORS[0], header=True, quoting=True, missing=MISSING_TEXTS)
    layout, names = _with_separator(path, head, layout, certain=own is not None)
    if numbers := [name for name in names if DECIMAL.fullmatch(name)]:
        raise DataError(
            f"{path}, line 1: expected the columns' names, but {numbers[0]!r} is a number, so this seems to be a row: "
            "write a line of names above it (and rename a column that is called so), or write the schema by hand, "
            "with the names in their order under `columns`"
        )
    columns = tuple(Column(name, TEXT) for name in names)
    rejections = Rejections(limit=1.0)
    rows, all_read = _first(read_text(path, rejections, layout=replace(layout, columns=columns)))
    return FirstRows(
        texts=rows.to_pandas(),
        rejections=rejections,
        separator=layout.separator if layout.separator != own else None,
        all_read=all_read,
    )


def _with_separator(path: Path, head: bytes, layout: Layout, *, certain: bool) -> tuple[Layout, list[str]]:
    """Split the first line. Where the file's ending names no separator, or one that is not in it, others are tried.

    Args:
        path: the file.
        head: its first line.
        layout: with the separator to try first.
        certain: whether the file's ending says so.
    """
    names = split_header(path, head, layout)
    if certain and len(names) > 1:
        return layout, names
    others = [replace(layout, separator=separator) for separator in _FIELD_SEPARATORS]
    split = [(other, split_header(path, head, other)) for other in others]
    found = max(split, key=lambda one: len(one[1]))
    return found if len(found[1]) > 1 else (layout, names)


def _first(tables: Iterator[pa.Table]) -> tuple[pa.Table, bool]:
    """Join the first of some tables; the second is whether these are all of their rows."""
    taken, rows = [], 0
    for table in tables:
        taken.append(table)
        rows += table.num_rows
        if rows > MOST_ROWS:
            break
    return (pa.concat_tables(taken).slice(0, MOST_ROWS) if taken else pa.table({})), rows <= MOST_ROWS
