"""Raw rows for a trained model, read as its training rows were, save that a bad row is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nasrec_automl.data.declared import Declared
from nasrec_automl.data.readers import criteo
from nasrec_automl.data.readers.inputs import read_blocks
from nasrec_automl.data.readers.kinds import TEXT, Column, instant, kind_of, number_kind
from nasrec_automl.data.readers.parquet import is_moment, read_parquet
from nasrec_automl.data.readers.table import is_parquet, separator_of
from nasrec_automl.data.readers.text import Layout, read_text, split_line
from nasrec_automl.data.rejections import Rejected, Rejections
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.data.values import MISSING_TEXTS
from nasrec_automl.errors import DataError

WITHOUT_HEADER: Mapping[str, Layout] = {"criteo": criteo.LAYOUT}
"""Sources whose files do not name their columns; the first column is the label, which may be left out."""


def read_unlabelled(
    path: Path,
    declared: Declared,
    *,
    source: str | None = None,
    schema: TableSchema | None = None,
    keep: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Read a file of any size, some rows at a time. Columns that are neither declared nor kept are left out.

    Args:
        path: text with a header, separated by tabs where it ends in .tsv or .txt and else by commas, also with `.gz`,
            `.bz2`, `.xz` or `.zst`; or Parquet.
        declared: what is made of the columns.
        source: one of `WITHOUT_HEADER`, whose format the file has.
        schema: that of the training rows, where its `separator` or `columns` say how the file is made. Without a
            header, the label's column may be left out.
        keep: further columns, as texts.

    Yields:
        Tables with the raw columns.

    Raises:
        DataError: there is no such file, it cannot be read, lacks a column, or has a bad row; says which.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder: name its files, one in each call")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected CSV, TSV or Parquet with the raw columns")
    if source is not None:
        if schema is not None:
            raise DataError(f"files of {source!r} are of a known format and take no schema: leave one of the two out")
        if keep:
            raise DataError(f"files of {source!r} have no other columns than the model's: keep none")
        return read_text(path, _Strict(), layout=_of_source(path, source))
    columns = (*_columns(declared), *_kept(path, [name for name in keep if name not in declared.raw_columns]))
    if is_parquet(path):
        return read_parquet(path, _Strict(), columns=columns, further=True)
    layout = Layout(
        columns=columns,
        separator=(schema.separator if schema is not None else None) or separator_of(path) or ",",
        header=True,
        quoting=True,
        missing=MISSING_TEXTS,
        further=True,
        headless=(
            "add the header, give the schema of the training rows where it says how the file is made (`--schema`), or "
            f"the source of a file without a header (`--source`: {', '.join(WITHOUT_HEADER)})"
        ),
    )
    if schema is not None and schema.columns is not None:
        layout = _without_header(path, layout, schema.columns, schema.label)
    return read_text(path, _Strict(), layout=layout)


def count_rows(path: Path) -> int | None:
    """How many rows a file has, where that is known without reading them; None too where it cannot be read."""
    if not is_parquet(path):
        return None
    try:
        rows: int = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError):
        return None
    return rows


class _Strict(Rejections):
    """Takes no bad row: what is written for each row would be a row short."""

    def add(self, file: Path, read: int, rejected: Iterable[Rejected]) -> None:
        for row in rejected:
            if row.value is None:
                raise DataError(
                    f"{file}, line {row.line}: {row.reason}; correct that line, and leave none out: probabilities are "
                    "in the order of the rows"
                )
            raise DataError(
                f"{file}, line {row.line}: {row.reason} ({row.value[:40]!r}); correct that value, or leave its field "
                "empty for missing"
            )
        super().add(file, read, ())


def _kept(path: Path, names: Sequence[str]) -> list[Column]:
    moments: set[str] = set()
    if names and is_parquet(path):
        with suppress(pa.ArrowException, OSError):  # for the reader to name
            moments = {field.name for field in pq.read_schema(path) if is_moment(field.type)}
    return [Column(name, instant("ISO8601") if name in moments else TEXT) for name in dict.fromkeys(names)]


def _columns(declared: Declared) -> tuple[Column, ...]:
    kinds = {name: kind_of(field) for name, field in declared.categorical.items()}
    return tuple(Column(name, kinds.get(name) or number_kind(name, declared.derived)) for name in declared.raw_columns)


def _of_source(path: Path, source: str) -> Layout:
    if source not in WITHOUT_HEADER:
        raise DataError(
            f"files of {source!r} name their columns, or are none; without a header: {', '.join(WITHOUT_HEADER)}"
        )
    layout = WITHOUT_HEADER[source]
    label, *others = layout.columns
    return _perhaps_labelled(path, replace(layout, columns=(Column(label.name, None), *others)), label.name)


def _without_header(path: Path, layout: Layout, names: Sequence[str], label: str) -> Layout:
    read = {column.name: column for column in layout.columns}
    if unnamed := [name for name in read if name not in names]:
        raise DataError(
            f"{path}: {', '.join(unnamed)} should be read, which `columns` of the schema does not name: give the "
            "schema that the model's data were prepared with"
        )
    columns = tuple(read.get(name, Column(name, None)) for name in names)
    return _perhaps_labelled(path, replace(layout, columns=columns, header=False), label)


def _perhaps_labelled(path: Path, layout: Layout, label: str) -> Layout:
    """Leave the label's column out, unless the first line has a field for it.

    Raises:
        DataError: the first line is a header, which as a row of categories would have a probability.
    """
    line = next(read_blocks(path)).content.lstrip(b"\r\n").partition(b"\n")[0].removesuffix(b"\r")
    try:
        fields = split_line(line, layout)
    except ValueError:  # for the reader to name
        return layout
    others = tuple(column for column in layout.columns if column.name != label)
    found = layout.columns if len(fields) == len(layout.columns) else others
    if [field.strip() for field in fields] == [column.name for column in found]:
        raise DataError(f"{path}: its first line names the columns, but no header is expected: remove that line")
    if found is others and any(column.name == label and column.kind is not None for column in layout.columns):
        raise DataError(f"{path}: has no column {label!r} to keep: keep other columns")
    return replace(layout, columns=found)
