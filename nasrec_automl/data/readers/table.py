"""Tables of one's own: CSV, TSV and Parquet files that a schema file describes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.moments import seconds
from nasrec_automl.data.raw import COLUMN_NOTES, Chunk
from nasrec_automl.data.readers.inputs import find_files, plain_name
from nasrec_automl.data.readers.kinds import FOLD, WEIGHT, Column, instant, kind_of, label_kind, number_kind
from nasrec_automl.data.readers.parquet import read_parquet
from nasrec_automl.data.readers.source import FileSource
from nasrec_automl.data.readers.text import Layout, read_text
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.data.values import MISSING_TEXTS
from nasrec_automl.errors import DataError

PATTERNS = ("*.csv", "*.tsv", "*.txt", "*.parquet")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def table(paths: Sequence[Path], schema: TableSchema, further: bool = False) -> FileSource:
    """Open files that have the schema's columns, in any order where a header names them.

    A label must be 0 or 1 (or 0.0, 1.0, false, true), or one of the schema's `label_values`. What `pandas.read_csv`
    takes for missing is missing, and what databases write for NULL.

    Args:
        paths: files, folders, or globs; text also with `.gz`, `.bz2`, `.xz` and `.zst`.
        schema: of all of them.
        further: whether files with a header may have columns that it does not name, which are left out.

    Raises:
        DataError: there are no such files.
    """
    return FileSource(
        name=schema.name,
        label_description=schema.label_description or schema.label,
        dense=schema.dense,
        categorical=schema.categorical,
        derived=schema.derived,
        notes=_column_notes(schema),
        files=find_files(paths, PATTERNS, "tables"),
        tables=partial(_tables, schema=schema, further=further),
        start=lambda _: partial(_examples, schema=schema),
    )


def _column_notes(schema: TableSchema) -> dict[str, str]:
    time, values = schema.timestamp, schema.label_values
    label = schema.label if values is None else f"{schema.label} ({values[0]} or {values[1]})"
    named = (label, schema.weight, None if time is None else f"{time.column} ({time.format})")
    return {note: column for note, column in zip(COLUMN_NOTES, named, strict=True) if column is not None}


def separator_of(path: Path) -> str | None:
    """Return what stands between the fields of a text file by its ending; None where that does not say it."""
    return _SEPARATORS.get(Path(plain_name(path)).suffix.lower())


def is_parquet(path: Path) -> bool:
    """Say whether a file's ending is Parquet's."""
    return path.suffix.lower() == ".parquet"


def _tables(path: Path, rejections: Rejections, *, schema: TableSchema, further: bool) -> Iterator[pa.Table]:
    columns = _columns(schema)
    if is_parquet(path):
        return read_parquet(path, rejections, columns=tuple(columns.values()), further=further)
    separator = schema.separator or separator_of(path)
    if is_parquet(Path(plain_name(path))):
        raise DataError(f"{path}: Parquet is compressed inside, and is not read out of a compressed file: unpack it")
    if separator is None:
        raise DataError(
            f"{path}: expected an ending of .csv, .tsv, .txt or .parquet: rename it, or set `separator` in the schema"
        )
    layout = Layout(
        columns=tuple(columns[name] for name in schema.columns or columns),
        separator=separator,
        header=schema.columns is None,
        quoting=True,
        missing=MISSING_TEXTS,
        further=further,
        headless=(
            "add the header, or say in the schema what the names are (`columns`) or what stands between them "
            "(`separator`)"
        ),
    )
    return read_text(path, rejections, layout=layout)


def _columns(schema: TableSchema) -> dict[str, Column]:
    columns = dict.fromkeys(schema.raw_columns)
    made = {name: Column(name, None) for name in columns}
    made |= {name: Column(name, number_kind(name, schema.derived)) for name in schema.numbers}
    made |= {name: Column(name, kind_of(schema.categorical[name])) for name in schema.texts}
    if schema.timestamp is not None:
        when = schema.timestamp
        kind = number_kind(when.column, schema.derived) if when.format == "number" else instant(when.format)
        made[when.column] = Column(when.column, kind, required=True)
    if schema.split is not None:
        made[schema.split] = Column(schema.split, FOLD, required=True)
    if schema.weight is not None:
        once = f"if its rows count once each, take `weight: {schema.weight}` out of the schema"
        made[schema.weight] = Column(schema.weight, WEIGHT, required=True, lacking=once)
    made[schema.label] = Column(schema.label, label_kind(schema.label_values), required=True)
    return made


def _time(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return seconds(column.to_pandas()) if pa.types.is_timestamp(column.type) else column.to_numpy()


def _examples(rows: pa.Table, *, schema: TableSchema) -> Chunk:
    when = schema.timestamp
    return Chunk(
        table=rows.select([*schema.numbers, *schema.texts]),
        label=rows[schema.label].to_numpy(),
        row=np.arange(rows.num_rows),
        weight=None if schema.weight is None else rows[schema.weight].to_numpy().astype(np.float32),
        time=None if when is None else _time(rows[when.column]),
        fold=None if schema.split is None else rows[schema.split].to_numpy(),
    )
