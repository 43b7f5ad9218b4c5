"""Parquet files to tables of checked columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nasrec_automl.data.readers.kinds import NUMBER, Column, instant
from nasrec_automl.data.readers.text import BROKEN_ENCODING, check_names, checked_value, shown
from nasrec_automl.data.rejections import Rejected, Rejections, WrongValueError
from nasrec_automl.data.values import MISSING_TEXTS, float_texts
from nasrec_automl.errors import DataError

_ROWS = 1 << 14
_FEW = 1 << 9  # rows that are looked at one by one
_BUFFER = 1 << 16  # bytes of a column that are read at once


def read_parquet(
    path: Path, rejections: Rejections, *, columns: Sequence[Column], further: bool = False
) -> Iterator[pa.Table]:
    """Read a file's accepted rows, in order. A rejected row's line is its number, from 1.

    Args:
        path: the file.
        rejections: the account of the reading.
        columns: of the file.
        further: whether it may have others, which are left out.

    Raises:
        DataError: the file cannot be read, lacks a column, has one without a role or of a type that fits no role, or
            most rows are bad.
    """
    names = [column.name for column in columns if column.kind is not None]
    row = 1
    try:
        # By default Arrow holds the whole file ahead of the reading, and without a buffer a whole row group.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            check_names(path, file.schema_arrow.names, columns, further=further)
            columns = [_typed(column, file.schema_arrow) for column in columns]
            for batch in file.iter_batches(_ROWS, columns=names):
                table, rejected = _checked(pa.table(batch), columns, row, path)
                rejections.add(path, batch.num_rows, rejected)
                row += batch.num_rows
                yield table
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}, after row {row - 1}: cannot be read as Parquet ({error})") from None


def _typed(column: Column, schema: pa.Schema) -> Column:
    """Return a column of moments without the format that texts of them have, where its type says what they are."""
    if not _is_of_moments(column) or not is_moment(_plain_type(schema.field(column.name).type)):
        return column
    return replace(column, kind=instant("ISO8601"))  # as Arrow writes moments


def _checked(table: pa.Table, columns: Sequence[Column], first: int, path: Path) -> tuple[pa.Table, list[Rejected]]:
    used = [column for column in columns if column.kind is not None]
    plain = [_plain(table[column.name].combine_chunks(), column, path) for column in used]
    tables, rejected = _parsed(plain, [None] * len(used), used, first)
    return pa.concat_tables(tables).combine_chunks(), rejected


def _parsed(
    plain: Sequence[pa.Array], made: Sequence[pa.Array | None], used: Sequence[Column], first: int
) -> tuple[list[pa.Table], list[Rejected]]:
    """Check some rows. If a column may hold a bad value, each half is checked by itself, down to few for `_slow`.

    Args:
        plain: what `_plain` made of each column.
        made: checked columns; None of one that is still to be checked.
        used: the columns.
        first: number of the first row.
    """
    made = [
        _quick(array, column) if known is None else known
        for array, known, column in zip(plain, made, used, strict=True)
    ]
    if not any(array is None for array in made):
        return [pa.table(dict(zip((column.name for column in used), made, strict=True)))], []
    if (rows := len(plain[0])) <= _FEW:
        return _slow(plain, made, used, first)
    tables: list[pa.Table] = []
    rejected: list[Rejected] = []
    for start, length in ((0, rows // 2), (rows // 2, rows - rows // 2)):
        half = [array.slice(start, length) for array in plain]
        known = [None if array is None else array.slice(start, length) for array in made]
        more, bad = _parsed(half, known, used, first + start)
        tables += more
        rejected += bad
    return tables, rejected


def _slow(
    plain: Sequence[pa.Array], made: Sequence[pa.Array | None], used: Sequence[Column], first: int
) -> tuple[list[pa.Table], list[Rejected]]:
    """Check each value of the columns that are not made yet; in those that are, nothing is wrong."""
    unsure = [number for number, array in enumerate(made) if array is None]
    cells = [_cells(plain[number]) for number in unsure]
    knowing = [
        used[number].knowing(cell for cell in of_column if isinstance(cell, str))
        for number, of_column in zip(unsure, cells, strict=True)
    ]
    rows: list[list[Any]] = []
    errors: dict[int, ValueError] = {}
    for place, row in enumerate(zip(*cells, strict=True)):
        try:
            rows.append([_value(column, cell) for column, cell in zip(knowing, row, strict=True)])
        except ValueError as error:
            errors[place] = error
    good = np.ones(len(plain[0]), dtype=bool)
    good[list(errors)] = False
    bad = zip(*(_cells(array.filter(pa.array(~good))) for array in plain), strict=True)
    rejected = [
        Rejected.of(first + place, error, "\t".join(map(_shown, row)))
        for (place, error), row in zip(errors.items(), bad, strict=True)
    ]
    schema = pa.schema([(column.name, column.kind.makes) for column in used if column.kind is not None])
    arrays = [array if array is None else array.filter(pa.array(good)) for array in made]
    for i, number in enumerate(unsure):
        arrays[number] = pa.array([row[i] for row in rows], schema.field(number).type)
    return [pa.Table.from_arrays(arrays, schema=schema)], rejected


def _cells(array: pa.Array) -> list[Any]:
    """Return texts, lists of texts, or None where nothing is; a text that is not UTF-8 is bytes."""
    if pa.types.is_list(array.type):
        lists: list[list[bytes | None] | None] = array.cast(pa.list_(pa.binary())).to_pylist()
        return [None if cell is None else [_decoded(text) for text in cell] for cell in lists]
    return [_decoded(text) for text in array.cast(pa.string()).cast(pa.binary()).to_pylist()]


def _decoded(text: bytes | None) -> str | bytes | None:
    try:
        return None if text is None else text.decode("utf-8")
    except UnicodeDecodeError:
        return text


def _value(column: Column, cell: Any) -> Any:
    for text in cell if isinstance(cell, list) else [cell]:
        if isinstance(text, bytes):
            raise WrongValueError(f"{column.name}: {BROKEN_ENCODING}", shown(text))
    return cell if isinstance(cell, list) else checked_value(column, cell, MISSING_TEXTS)


def _shown(cell: Any) -> str:
    return shown(cell) if isinstance(cell, bytes) else str(cell or "")


def _plain(array: pa.Array, column: Column, path: Path) -> pa.Array:
    """Bring an array to the type that the column's kind reads, or else to text; what stands for missing is null."""
    kind, type_ = column.kind, _plain_type(array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kind is not None and pa.types.is_list(kind.makes) and is_list(type_) and is_single(type_.value_type):
        try:
            return array.cast(kind.makes)
        except pa.ArrowException:
            raise _unfit(column, type_, path) from None
    if _is_of_moments(column) and is_moment(type_):
        return array.cast(pa.timestamp("us"), safe=False).cast(pa.string())
    if kind is not None and kind.reads == pa.float64() and (_is_number(type_) or pa.types.is_boolean(type_)):
        numbers = array.cast(pa.uint8()) if pa.types.is_boolean(type_) else array
        numbers = numbers.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(numbers), None, numbers)
    if kind is not None and pa.types.is_null(type_):
        return pa.nulls(len(array), kind.reads)
    if not is_single(type_):
        raise _unfit(column, type_, path)
    texts = float_texts(array) if pa.types.is_floating(type_) else array.cast(pa.string())
    return pc.if_else(pc.is_in(texts, value_set=pa.array(sorted(MISSING_TEXTS))), None, texts)


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, which a dictionary may hold."""
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _is_of_moments(column: Column) -> bool:
    return column.kind is not None and is_moment(column.kind.makes)


def is_single(type_: pa.DataType) -> bool:
    """Say whether values of a type are read as a number or a text."""
    return _is_number(type_) or any(
        (
            pa.types.is_boolean(type_),
            pa.types.is_string(type_),
            pa.types.is_large_string(type_),
            pa.types.is_string_view(type_),  # as Polars writes texts
            pa.types.is_null(type_),
            pa.types.is_dictionary(type_) and is_single(type_.value_type),
        )
    )


def is_list(type_: pa.DataType) -> bool:
    """Say whether values of a type are lists."""
    return any((pa.types.is_list(type_), pa.types.is_large_list(type_), pa.types.is_fixed_size_list(type_)))


def is_moment(type_: pa.DataType) -> bool:
    """Say whether values of a type are dates or moments."""
    return any((pa.types.is_date(type_), pa.types.is_timestamp(type_)))


def _is_number(type_: pa.DataType) -> bool:
    return any((pa.types.is_integer(type_), pa.types.is_floating(type_), pa.types.is_decimal(type_)))


def _unfit(column: Column, type_: pa.DataType, path: Path) -> DataError:
    advice = "convert or ignore it"
    if is_moment(type_) and column.kind is not None and column.kind.reads == pa.float64():
        advice = "derive hour and weekday of it with `format: ISO8601`, or ignore it"
        # Of the columns of plain numbers the timestamp alone must be there in each row.
        if column.kind is NUMBER and column.required:
            advice = "set `timestamp.format` to ISO8601"
    return DataError(f"{path}: column {column.name!r} is of type {type_}, which fits no such role: {advice}")


def _quick(array: pa.Array, column: Column) -> pa.Array | None:
    try:
        array.validate(full=True)  # Arrow reads texts that are not UTF-8
    except pa.ArrowInvalid:
        return None
    if pa.types.is_list(array.type):
        return array
    if column.kind is None or array.type != column.kind.reads or (column.required and array.null_count):
        return None
    return column.kind.convert(array)
