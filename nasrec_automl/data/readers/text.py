"""Lines of delimited text to tables of checked columns.

Arrow's CSV reader does the work. Where it fails, or finds what may be wrong, the block is halved until little is left,
and those lines are looked at one by one, with the same outcome for every good line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from nasrec_automl.data.readers.inputs import LONGEST_LINE, Block, read_blocks
from nasrec_automl.data.readers.kinds import SPACES, Column
from nasrec_automl.data.readers.parallel import map_ahead
from nasrec_automl.data.rejections import Rejected, Rejections, WrongValueError
from nasrec_automl.errors import DataError

NOTHING = frozenset(("",))
BROKEN_ENCODING = "broken encoding, not UTF-8"
GIVE_ROLES = "give each a role, or ignore it"
_FEW = 1 << 15  # bytes that are looked at line by line
_LONGEST_ROW = 1 << 14  # bytes of a row over several lines; a quote that is closed later is a stray one
_LIMIT = Lock()  # of a field, which csv has one of for the whole process


@dataclass(frozen=True)
class RowCheck:
    """What must hold between the columns of a row.

    Attributes:
        reason: what is wrong with a row where it does not.
        wrong: finds such rows `(rows,)` in a table of checked columns.
    """

    reason: str
    wrong: Callable[[pa.Table], NDArray[np.bool_]]


@dataclass(frozen=True)
class Layout:
    """How the lines of a source's files are made.

    Attributes:
        columns: in the order of a file without a header; by name in one with a header.
        separator: between fields, one character.
        header: whether a file's first line names its columns.
        quoting: whether fields may stand in double quotes. A quoted field must end on its line: a row over several
            lines is one bad row.
        missing: texts that stand for no value.
        checks: what must hold between columns.
        further: whether a header may name further columns, which are left out.
        headless: what to do about a file whose first line names no column, where there should be a header.
        strange: what to do about columns that are not among these.
    """

    columns: tuple[Column, ...]
    separator: str
    header: bool = False
    quoting: bool = False
    missing: frozenset[str] = NOTHING
    checks: tuple[RowCheck, ...] = ()
    further: bool = False
    headless: str = "add the header"
    strange: str = GIVE_ROLES

    @property
    def empty_is_row(self) -> bool:
        """Whether an empty line is a row: of a single column it is how a missing value is written."""
        return len(self.columns) == 1


@dataclass(frozen=True)
class Parsed:
    """What became of some lines.

    Attributes:
        tables: checked columns of the accepted rows, in order.
        read: number of rows; empty lines are none, unless there is one column.
        rejected: the others, in order.
        rest: the last lines, which are in none of the above: of what they are the next lines decide.
    """

    tables: tuple[pa.Table, ...]
    read: int
    rejected: tuple[Rejected, ...] = ()
    rest: Block | None = None


def read_text(path: Path, rejections: Rejections, *, layout: Layout) -> Iterator[pa.Table]:
    """Read a file's accepted rows, in order, in tables of about two megabytes of text.

    Raises:
        DataError: the file cannot be read, its header is wrong, or most rows are bad.
    """
    blocks = read_blocks(path)
    if layout.header:
        first = next(blocks)
        head, _, rest = first.content.partition(b"\n")
        names = split_header(path, head, layout)
        _check_header(path, head, names, layout)
        check_names(path, names, layout.columns, further=layout.further, strange=layout.strange)
        columns = {name: Column(name, None) for name in names} | {column.name: column for column in layout.columns}
        layout = replace(layout, columns=tuple(columns[name] for name in names))
        blocks = _with_first(Block(rest, first.first_line + 1), blocks)
    for parsed in _parsed(blocks, layout):
        rejections.add(path, parsed.read, parsed.rejected)
        yield from parsed.tables


def _parsed(blocks: Iterator[Block], layout: Layout) -> Iterator[Parsed]:
    if not layout.quoting:  # nothing is left to the next block, which need not be kept
        yield from map_ahead(lambda block: parse(block, layout), blocks)
        return
    rest = None
    for block, parsed in map_ahead(lambda block: (block, parse(block, layout)), blocks):
        found = parsed if rest is None else parse(_joined(rest, block), layout)
        rest = found.rest
        yield found
    if rest is not None:
        yield parse(rest, layout, ends=True)


def _joined(first: Block | None, second: Block) -> Block:
    return second if first is None else Block(first.content + second.content, first.first_line)


def parse(block: Block, layout: Layout, *, ends: bool = False) -> Parsed:
    """Check every line of a block; `ends` says that no lines come after it."""
    content = block.content
    if not content:
        return Parsed((), 0)
    table = _quick(content, layout)
    if table is not None:
        return Parsed((table,), table.num_rows)
    middle = content.find(b"\n", len(content) // 2) + 1
    if len(content) <= _FEW or middle in (0, len(content)):
        return _slow(block, layout, ends)
    later = block.first_line + content.count(b"\n", 0, middle)
    first = parse(Block(content[:middle], block.first_line), layout)
    if first.rest is not None and len(first.rest.content) == middle:  # halves would never come to an end
        return _slow(block, layout, ends)
    second = parse(_joined(first.rest, Block(content[middle:], later)), layout, ends=ends)
    return Parsed(
        (*first.tables, *second.tables), first.read + second.read, (*first.rejected, *second.rejected), second.rest
    )


def split_header(path: Path, line: bytes, layout: Layout) -> list[str]:
    """Return the names in a file's first line.

    Raises:
        DataError: it cannot be one.
    """
    try:
        return [name.strip() for name in split_line(line.removesuffix(b"\r"), layout)]
    except ValueError as error:
        raise DataError(f"{path}, line 1: expected the columns' names, but found {error}") from None


def schema_of(layout: Layout) -> pa.Schema:
    """Return the columns and types of a layout's tables."""
    return pa.schema([(column.name, column.kind.makes) for column in layout.columns if column.kind is not None])


def _check_header(path: Path, line: bytes, names: Sequence[str], layout: Layout) -> None:
    """Raise DataError where a first line names no column, so that it is a row, or is separated otherwise."""
    known = [column.name for column in layout.columns]
    if set(known).isdisjoint(names):
        separator = "a tab" if layout.separator == "\t" else repr(layout.separator)
        first = shown(line.removesuffix(b"\r"))[:200]
        raise DataError(
            f"{path}: expected a header that names the columns {_some(known)}, separated by {separator}, but the first "
            f"line is {first!r}: {layout.headless}"
        )


def check_names(
    path: Path,
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    further: bool = False,
    strange: str = GIVE_ROLES,
) -> None:
    """Check the columns of a file against those of its source.

    Args:
        path: the file.
        names: its columns.
        columns: of the source.
        further: whether there may be others.
        strange: what to do about others where there may be none.

    Raises:
        DataError: one that is read is missing, or one is there twice, or without a role unless there may be `further`
            ones.
    """
    known = [column.name for column in columns]
    used = [column for column in columns if column.kind is not None]
    read = [column.name for column in used] if further else names
    if twice := sorted({name for name in read if names.count(name) > 1}):
        raise DataError(f"{path}: the column {twice[0]!r} is there twice: rename or remove one")
    missing = [column for column in used if column.name not in names]
    if missing:
        may = not any(column.required for column in missing)
        empty = ", which may be empty but must be there" if may else ""
        advice = "".join(f"; {column.lacking}" for column in missing if column.lacking)
        raise DataError(
            f"{path}: lacks the columns {_some([column.name for column in missing])}{empty}; it has {_some(names)}"
            f"{advice}"
        )
    if not further and (others := [name for name in names if name not in known]):
        raise DataError(f"{path}: nothing says what the columns {_some(others)} are: {strange}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(name or "''" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _with_first(first: Block, others: Iterator[Block]) -> Iterator[Block]:
    yield first
    yield from others


def _quick(content: bytes, layout: Layout) -> pa.Table | None:
    """Parse with Arrow, or return None if any line may be bad."""
    if not _is_plain(content, layout):
        return None
    used = {column.name: column.kind for column in layout.columns if column.kind is not None}
    try:
        read = pcsv.read_csv(
            pa.BufferReader(content),
            read_options=pcsv.ReadOptions(
                column_names=[column.name for column in layout.columns],
                use_threads=False,
                block_size=len(content) + 1,
            ),
            parse_options=pcsv.ParseOptions(
                delimiter=layout.separator,
                quote_char='"' if layout.quoting else False,
                double_quote=False,
                ignore_empty_lines=False,
            ),
            convert_options=pcsv.ConvertOptions(
                check_utf8=False,  # done
                column_types={name: kind.reads for name, kind in used.items()},
                include_columns=list(used),
                null_values=sorted(layout.missing),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        return None
    # Without quotes, nothing but a newline ends a row.
    if layout.quoting and read.num_rows != content.count(b"\n") + (not content.endswith(b"\n")):
        return None
    columns = []
    for column in layout.columns:
        if column.kind is None:
            continue
        array = read[column.name].combine_chunks()
        made = None if column.required and array.null_count else column.kind.convert(array)
        if made is None:
            return None
        columns.append(made)
    table = pa.Table.from_arrays(columns, schema=schema_of(layout))
    return None if any(check.wrong(table).any() for check in layout.checks) else table


def _is_plain(content: bytes, layout: Layout) -> bool:
    """Whether Arrow and a look at each line would split these lines alike."""
    if layout.quoting and b'"' in content and not _quotes_are_plain(content, layout.separator):
        return False
    # An empty line has no value for a required column, which is looked for anyway.
    required = any(column.required for column in layout.columns)
    if not (required or layout.empty_is_row) and (content.startswith((b"\n", b"\r")) or b"\n\n" in content):
        return False
    if b"\r" in content and (
        content.startswith(b"\r") or content.count(b"\r") != content.count(b"\r\n") or b"\n\r\n" in content
    ):
        return False
    # Arrow would read 0x10 as sixteen. One byte is found faster than two.
    whole = any(column.kind is not None and pa.types.is_integer(column.kind.reads) for column in layout.columns)
    if whole and (b"x" in content or b"X" in content):
        return False
    return content.isascii() or _is_utf8(content)


def _quotes_are_plain(content: bytes, separator: str) -> bool:
    """Whether quotes stand around whole fields and nowhere else. That they close on their line is still to be seen."""
    signs = np.frombuffer(b"\n" + content + b"\n", np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    if len(quotes) % 2:
        return False
    before, after = signs[quotes[::2] - 1], signs[quotes[1::2] + 1]
    opened = (before == ord(separator)) | (before == ord("\n"))
    closed = (after == ord(separator)) | (after == ord("\n")) | (after == ord("\r"))
    return bool(opened.all() and closed.all())


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _slow(block: Block, layout: Layout, ends: bool) -> Parsed:
    """Look at each line by itself, and at a bad one with those after it, for a row may go on within quotes."""
    content = block.content.removesuffix(b"\n") + b"\n"
    split: list[tuple[int, bytes, list[str]]] = []
    rejected: list[Rejected] = []
    rest: Block | None = None
    position, after = 0, block.first_line
    for number, line in enumerate(content.split(b"\n")[:-1], block.first_line):
        start, position = position, position + len(line) + 1
        line = line.removesuffix(b"\r")
        if number < after or (not line and not layout.empty_is_row):
            continue
        try:
            split.append((number, line, _fields(line, layout)))
        except ValueError as error:
            if layout.quoting and b'"' in line:
                whole = _row(layout.separator, len(layout.columns)).match(content, start, start + _LONGEST_ROW)
                if whole is not None:
                    line = whole[0].removesuffix(b"\r")
                    after = number + line.count(b"\n") + 1
                elif not ends and len(content) - start < _LONGEST_ROW:
                    rest = Block(content[start:], number)
                    break
            rejected.append(Rejected(number, str(error), shown(line)))
    read = len(split) + len(rejected)
    columns = [column.knowing(fields[i] for _, _, fields in split) for i, column in enumerate(layout.columns)]
    rows: list[list[Any]] = []
    origins: list[tuple[int, bytes]] = []
    for number, line, fields in split:
        try:
            rows.append(_values(fields, number, layout, columns))
            origins.append((number, line))
        except ValueError as error:
            rejected.append(Rejected.of(number, error, shown(line)))
    schema = schema_of(layout)
    arrays = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    keep = np.ones(len(rows), dtype=bool)
    for check in layout.checks:
        wrong = check.wrong(table) & keep
        rejected += [Rejected(origins[i][0], check.reason, shown(origins[i][1])) for i in np.flatnonzero(wrong)]
        keep &= ~wrong
    if not keep.all():
        table = table.filter(pa.array(keep))
    return Parsed((table,), read, tuple(sorted(rejected, key=lambda row: row.line)), rest)


@lru_cache
def _row(separator: str, fields: int) -> re.Pattern[bytes]:
    """Return the pattern of a row of so many fields, those in quotes with newlines perhaps."""
    between = re.escape(separator.encode())
    field = rb'(?:"(?:[^"]++|"")*+"|(?!")(?:(?!%b)[^\n])*+)' % between
    return re.compile(rb"%b(?:%b%b){%d}(?=\r?\n)" % (field, between, field, fields - 1))


def _fields(line: bytes, layout: Layout) -> list[str]:
    """Return a text for each column; a ValueError says what is wrong."""
    fields = split_line(line, layout)
    if len(fields) != len(layout.columns):
        raise ValueError(f"{len(fields)} fields instead of {len(layout.columns)}")
    return fields


def _values(fields: Sequence[str], number: int, layout: Layout, columns: Sequence[Column]) -> list[Any]:
    """Return the checked values of a line; a ValueError says what is wrong."""
    try:
        return [
            checked_value(column, text, layout.missing)
            for column, text in zip(columns, fields, strict=True)
            if column.kind is not None
        ]
    except ValueError:
        if number == 1 and not layout.header and _is_header(fields):
            raise ValueError("a header where none is expected") from None
        raise


def checked_value(column: Column, text: str | None, missing: frozenset[str]) -> Any:
    """Return the value of one field, None where it is missing; a ValueError says what is wrong."""
    kind = column.kind
    if kind is None:
        return None
    plain = text.strip(SPACES) if kind.stripped and text is not None else text
    if text is None or text in missing or plain in missing:
        if column.required:
            raise ValueError(f"{column.name}: no value")
        return None
    try:
        return kind.value(plain or "")
    except ValueError as error:
        raise WrongValueError(f"{column.name}: {error}", text) from None


def split_line(line: bytes, layout: Layout) -> list[str]:
    """Return a line's fields; a ValueError says what is wrong."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        if line.startswith(b"PK\x03\x04"):
            raise ValueError("a zip archive: unpack it") from None
        if line.startswith(b"\x1f\x8b"):
            raise ValueError("compressed by gzip: let the file's name end in .gz") from None
        raise ValueError(BROKEN_ENCODING) from None
    if "\r" in text:
        raise ValueError("a carriage return within a line")
    if not layout.quoting or '"' not in text:
        return text.split(layout.separator)
    # A field that is still open at the line's end reads on: the second line is there to notice.
    reader = csv.reader([text, ""], delimiter=layout.separator)
    try:
        with _any_length():
            fields = next(reader)
    except csv.Error as error:
        raise ValueError(f"a line that cannot be split ({error})") from None
    if reader.line_num > 1:
        raise ValueError("a quoted field that does not end on its line")
    return fields


@contextmanager
def _any_length() -> Iterator[None]:
    """Let csv read fields of any length, as Arrow does; the process has its own limit again afterwards."""
    with _LIMIT:  # a thread that is done must not end what another still needs
        limit = csv.field_size_limit()
        # A line that its block ends may be a bit longer than the longest.
        csv.field_size_limit(max(limit, 2 * LONGEST_LINE))
        try:
            yield
        finally:
            csv.field_size_limit(limit)


def _is_header(fields: Sequence[str]) -> bool:
    """Whether every field is a name: a letter first, and no two alike."""
    return len(set(fields)) == len(fields) and all(field[:1].isalpha() for field in fields)


def shown(line: bytes) -> str:
    """Return bytes as a text, with those that are no UTF-8 escaped."""
    return line.decode("utf-8", "backslashreplace")
