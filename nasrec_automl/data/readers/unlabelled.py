"""Raw rows for a trained model, read as its training rows were, save that a bad row is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from nasrec_automl.data.declared import Declared
from nasrec_automl.data.readers import criteo
from nasrec_automl.data.readers.inputs import plain_name, read_blocks
from nasrec_automl.data.readers.kinds import NUMBER, Column, kind_of
from nasrec_automl.data.readers.parquet import read_parquet
from nasrec_automl.data.readers.table import is_parquet
from nasrec_automl.data.readers.text import Layout, read_text
from nasrec_automl.data.rejections import Rejected, Rejections
from nasrec_automl.data.values import MISSING_TEXTS
from nasrec_automl.errors import DataError

WITHOUT_HEADER: Mapping[str, Layout] = {"criteo": criteo.LAYOUT}
"""Sources whose files do not name their columns; the first column is the label, which may be left out."""


def read_unlabelled(path: Path, declared: Declared, *, source: str | None = None) -> Iterator[pa.Table]:
    """Read a file of any size, some rows at a time. Columns that are not declared are left out.

    Args:
        path: text with a header, separated by tabs where it ends in .tsv or .txt and else by commas, also with `.gz`,
            `.bz2`, `.xz` or `.zst`; or Parquet.
        declared: what is made of the columns.
        source: one of `WITHOUT_HEADER`, whose format the file has.

    Yields:
        Tables with the raw columns.

    Raises:
        DataError: there is no such file, it cannot be read, lacks a column, or has a bad row; says which.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected CSV, TSV or Parquet with the raw columns")
    if source is not None:
        return read_text(path, _Strict(), layout=_without_header(path, source))
    columns = _columns(declared)
    if is_parquet(path):
        return read_parquet(path, _Strict(), columns=columns, further=True)
    tabs = Path(plain_name(path)).suffix.lower() in (".tsv", ".txt")
    layout = Layout(
        columns=columns,
        separator="\t" if tabs else ",",
        header=True,
        quoting=True,
        missing=MISSING_TEXTS,
        further=True,
    )
    return read_text(path, _Strict(), layout=layout)


class _Strict(Rejections):
    """Takes no bad row: what is written for each row would be a row short."""

    def add(self, file: Path, read: int, rejected: Iterable[Rejected]) -> None:
        for row in rejected:
            raise DataError(f"{file}, line {row.line}: {row.reason}; correct it, or leave it empty for missing")
        super().add(file, read, ())


def _columns(declared: Declared) -> tuple[Column, ...]:
    kinds = {name: kind_of(field) for name, field in declared.categorical.items()}
    return tuple(Column(name, kinds.get(name, NUMBER)) for name in declared.raw_columns)


def _without_header(path: Path, source: str) -> Layout:
    if source not in WITHOUT_HEADER:
        raise DataError(
            f"files of {source!r} name their columns, or are none; without a header: {', '.join(WITHOUT_HEADER)}"
        )
    layout = WITHOUT_HEADER[source]
    label, *others = layout.columns
    first = next(read_blocks(path)).content.partition(b"\n")[0]
    is_labelled = first.count(layout.separator.encode()) == len(others)
    return replace(layout, columns=(*([Column(label.name, None)] if is_labelled else []), *others))
