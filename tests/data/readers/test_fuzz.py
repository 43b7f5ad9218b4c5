"""Any bytes at all: never a traceback, never a silent wrong value, accepted + rejected = read.

What a line must become is said here once more, slowly and without any of the readers' code.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.readers import inputs, text
from nasrec_automl.data.sources import open_source
from nasrec_automl.data.values import canonical_text
from nasrec_automl.errors import DataError
from tests.data.readers.rows import AVAZU, AVAZU_HEADER, CRITEO, KDD12, PROFILE, read_all

Values = list[Any]
NASTY = [
    *(
        "",
        " ",
        "-",
        "+5",
        "-0",
        "-1",
        "0",
        "1",
        "2",
        "1.0",
        "0x10",
        "0X1F",
        "1_0",
        "\u0661",
        "1.5",
        ".5",
        "5.",
        "1e5",
        "1e12",
    ),
    *("1e39", "nan", "NaN", "inf", "NA", "null", r"\N", "true", "9223372036854775807", "9223372036854775808", " 7 "),
    *("18446744073709551615", "18446744073709551616", "000000000000000000000000000007", "5" * 5000),
    *("deadbeef", "DEADBEEF", "deadbee", "0deadbeef", "14102100", "14023000", "14102124", "\x00", "é", "a\rb"),
    *('"', '"x"', '""', '"a"b', 'a"b', '"a,b"', '"a""b"', '""x', 'x""', '"x" ', '",', ',"'),
]
TABLE_MISSING = {
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", r"\N"),
}
SCHEMA = """
label: a
dense: {b: log}
categorical: {c: , g: }
weight: d
timestamp: {column: e}
derived: [{name: g, source: e, kind: hour}]
ignored: [f]
"""
TABLE = ["1", "2.5", "x y", "1", "1.7e9", "z"]


class BadRowError(Exception):
    """A row that must be rejected."""


# One field


def label(field: str) -> int:
    if field.strip(" \t") not in ("0", "1", "0.0", "1.0", "true", "false", "True", "False", "TRUE", "FALSE"):
        raise BadRowError
    return int(field.strip(" \t").lower() in ("1", "1.0", "true"))


def whole(low: int, high: int) -> Callable[[str], int | None]:
    def value(field: str) -> int | None:
        field = field.strip(" \t")
        if field == "":
            return None
        if not re.fullmatch("-?[0-9]+", field) or len(field.lstrip("-0")) > 30 or not low <= int(field) <= high:
            raise BadRowError
        return int(field)

    return value


def required(value: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(field: str) -> Any:
        found = value(field)
        if found is None:
            raise BadRowError
        return found

    return checked


def hexadecimal(field: str) -> str | None:
    field = field.strip(" \t")
    if field and not re.fullmatch("[0-9a-f]{8}", field):
        raise BadRowError
    return field or None


def hour(field: str) -> int:
    number = required(whole(0, 99_999_999))(field)
    try:
        datetime(2000 + number // 10**6, number // 10**4 % 100, number // 100 % 100, number % 100, tzinfo=UTC)
    except ValueError:
        raise BadRowError from None
    if number < 10**6:
        raise BadRowError
    return int(number)


def number(field: str) -> float | None:
    if field in TABLE_MISSING or field.strip(" \t") in TABLE_MISSING:
        return None
    field = field.strip(" \t")
    if (
        not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", field)
        or abs(float(field)) > 3.4028234663852886e38
    ):
        raise BadRowError
    return float(field)


def seconds(field: str) -> float:
    value: float = required(number)(field)
    if abs(value) > 1e11:
        raise BadRowError
    return value


def weight(field: str) -> float:
    value: float = required(number)(field)
    if value < 0:
        raise BadRowError
    return value


def word(field: str) -> str | None:
    return None if field in TABLE_MISSING else field


def nothing(field: str) -> None:
    return None


# One line


def fields_of(line: str, separator: str, quoting: bool) -> list[str]:
    """A quote opens a field at its start; two within it are one; after it closes, what follows belongs to the field."""
    fields, field, state = [], "", "start"
    for sign in line:
        if state == "quoted":
            field, state = (field, "closing") if sign == '"' else (field + sign, state)
        elif sign == '"' and state == "closing":
            field, state = field + sign, "quoted"
        elif sign == '"' and quoting and state == "start":
            state = "quoted"
        elif sign == separator:
            fields.append(field)
            field, state = "", "start"
        else:
            field, state = field + sign, "within"
    if state == "quoted":
        raise BadRowError
    return [*fields, field]


def lines_of_row(lines: list[bytes], separator: str, fields: int) -> int:
    """How many lines a row has that begins with the first: several where newlines in quotes make it whole in 16 KB."""
    text = (b"\n".join(lines) + b"\n").decode("latin-1").replace("\r\n", "\n\n")
    found, state = 1, "start"
    for place, sign in enumerate(text[:16384]):
        if state == "quoted":
            state = "closing" if sign == '"' else state
        elif state == "closing" and sign == '"':
            state = "quoted"
        elif sign == "\n":
            return b"\n".join(lines).count(b"\n", 0, place) + 1 if found == fields else 1
        elif sign == separator:
            found, state = found + 1, "start"
        elif state == "closing":
            return 1
        else:
            state = "quoted" if sign == '"' and state == "start" else "within"
    return 1


@dataclass(frozen=True)
class Format:
    """A reader and what it must make of a line."""

    name: str
    good: list[str]
    separator: str
    values: list[Callable[[str], Any]]
    open: Callable[[Path], RawSource]
    shown: Callable[[Any], list[Values]]
    header: str = ""
    quoting: bool = False
    check: Callable[[Values], bool] = lambda _: True

    def reference(self, content: bytes) -> tuple[list[Values], list[int], int]:
        """Accepted rows, lines of rejected ones, rows read."""
        rows, rejected, read = [], [], 0
        lines, skipped = content.split(b"\n"), 0
        for line_number, line in enumerate(lines, 1):
            line = line.removesuffix(b"\r")
            if (line_number == 1 and self.header) or not line or line_number <= skipped:
                continue
            read += 1
            try:
                rows.append(self.row(line))
            except BadRowError:
                rejected.append(line_number)
                if self.quoting:
                    following = lines[line_number - 1 :]
                    skipped = line_number - 1 + lines_of_row(following, self.separator, len(self.values))
        return rows, rejected, read

    def row(self, line: bytes) -> Values:
        try:
            decoded = line.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRowError from None
        if "\r" in decoded:
            raise BadRowError
        fields = fields_of(decoded, self.separator, self.quoting)
        if len(fields) != len(self.values):
            raise BadRowError
        row = [value(field) for value, field in zip(self.values, fields, strict=True)]
        if not self.check(row):
            raise BadRowError
        return row


def rows_of(table: pa.Table, *firsts: list[Any]) -> list[Values]:
    return [list(row) for row in zip(*firsts, *(table[name].to_pylist() for name in table.column_names), strict=True)]


def open_table(folder: Path) -> RawSource:
    (folder / "schema.yaml").write_text(SCHEMA)
    return open_source("table", [folder / "file.csv"], schema=folder / "schema.yaml")


def open_kdd12(folder: Path) -> RawSource:
    (folder / "userid_profile.txt").write_text(PROFILE)
    return open_source("kdd12", [folder / "file.csv"])


BIG, SIGNED, UNSIGNED = whole(0, 2**31), whole(-(2**63), 2**63 - 1), whole(0, 2**64 - 1)
FORMATS = [
    Format(
        "criteo", CRITEO, "\t", [label, *[SIGNED] * 13, *[hexadecimal] * 26],
        lambda folder: open_source("criteo", [folder / "file.csv"]),
        lambda read: rows_of(read.table, read.label),
    ),
    Format(
        "avazu", AVAZU, ",", [required(UNSIGNED), label, hour, *[SIGNED] * 2, *[hexadecimal] * 9, *[SIGNED] * 10],
        lambda folder: open_source("avazu", [folder / "file.csv"], protocol="published"),
        lambda read: [[row[1], row[0], *row[2:]] for row in rows_of(read.table, read.label)],
        header=AVAZU_HEADER,
    ),
    Format(
        "kdd12", KDD12, "\t", [required(BIG), required(BIG), *[UNSIGNED] * 3, *[BIG] * 2, *[UNSIGNED] * 5],
        open_kdd12,
        lambda read: [row[:-2] for row in rows_of(read.table, read.label)],
        check=lambda row: row[1] >= max(1, row[0]),
    ),
    Format(
        "table", TABLE, ",", [label, number, word, weight, seconds, nothing],
        open_table,
        lambda read: [[*row, None] for row in rows_of(
            read.table.select(["b", "c"]).append_column("d", pa.array(read.weight))
            .append_column("e", pa.array(read.time)), read.label)],
        header="a,b,c,d,e,f", quoting=True,
    ),
]  # fmt: skip


def lines(form: Format) -> st.SearchStrategy[bytes]:
    good = form.separator.join(form.good).encode()

    def spoiled(changes: list[tuple[int, str]]) -> bytes:
        fields = list(form.good)
        for place, value in changes:
            fields[place % len(fields)] = value
        return form.separator.join(fields).encode()

    change = st.tuples(st.integers(0, len(form.good) - 1), st.sampled_from(NASTY) | st.text(max_size=12))
    return st.one_of(
        st.just(good),
        st.lists(change, min_size=1, max_size=2).map(spoiled),
        st.integers(0, len(good)).map(lambda cut: good[:cut]),
        st.sampled_from(
            [
                *(good + form.separator.encode(), b"", b"\xff" + good, good + b"\xc3", good.replace(b"1", b'"1"')),
                *(good.replace(b"x y", b'"x\n' + inside + b'\ny"') for inside in (b"", good, b'""', b"\xff\r", b'"')),
            ]
        ),
        st.binary(max_size=20),
    )


@contextmanager
def small_pieces() -> Iterator[None]:
    """Blocks of a few lines, halved down to one, so that a few lines meet all edges."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "_BLOCK", 700)
        patch.setattr(text, "_FEW", 1)
        yield


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(found, expected, rel_tol=1e-6)  # weights are float32
    return type(found) is type(expected) and bool(found == expected)


def check(form: Format, content: bytes) -> None:
    expected, rejected, read = form.reference(content)
    if form.name == "kdd12":
        expected = [[int(row[0] > 0), *row[1:]] for row in expected]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file.csv").write_bytes(content)
        source = form.open(folder)
        if not content or (not expected and form.name != "kdd12"):
            with pytest.raises(DataError):
                read_all(source)
            return
        if not expected:
            return
        found = read_all(source, path=folder / "rejected.tsv")
        assert found.rejections.accepted + found.rejections.rejected == found.rejections.read
        assert (found.rejections.read, found.rejections.rejected) == (read, len(rejected))
        rows = form.shown(found)
        assert len(rows) == len(expected)
        for got, wanted in zip(rows, expected, strict=True):
            assert all(same(a, b) for a, b in zip(got, wanted, strict=True)), (got, wanted)
        assert found.row == list(range(len(expected)))
        kept = folder / "rejected.tsv"
        assert kept.exists() == bool(rejected)
        if rejected:
            records = [line.split("\t") for line in kept.read_text(encoding="utf-8").splitlines()[1:]]
            assert [int(record[1]) for record in records] == rejected
            assert {len(record) for record in records} == {4}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("pieces", ["small", "whole"])
def test_lines_of_any_kind(form: Format, pieces: str) -> None:
    ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"])

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(lines(form), ends), max_size=8), st.booleans())
    def run(parts: list[tuple[bytes, bytes]], ended: bool) -> None:
        content = b"".join(line + end for line, end in parts)
        content = content if ended else content.removesuffix(b"\n")
        if form.header:
            content = form.header.encode() + b"\n" + content
        elif content.startswith(b"\xef\xbb\xbf"):
            return
        if pieces == "small":
            with small_pieces():
                check(form, content)
        else:
            check(form, content)

    run()


@pytest.mark.parametrize(
    "name", ["file.csv", "file.csv.gz", "file.csv.bz2", "file.csv.xz", "file.csv.zst", "f.parquet"]
)
@pytest.mark.parametrize("source", ["criteo", "avazu", "kdd12", "table"])
def test_files_of_any_bytes(source: str, name: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200))
    def run(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder_name:
            folder = Path(folder_name)
            (folder / name).write_bytes(content)
            (folder / "userid_profile.txt").write_bytes(content)
            (folder / "schema.yaml").write_text(SCHEMA)
            schema = folder / "schema.yaml" if source == "table" else None
            try:
                read = read_all(open_source(source, [folder / name], schema=schema))
            except DataError:
                return
            assert read.rejections.accepted + read.rejections.rejected == read.rejections.read

    run()


def test_parquet_columns_of_any_type() -> None:
    values = st.one_of(
        st.lists(st.sampled_from([*NASTY, None, "1", "0"]), min_size=4, max_size=4),
        st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
        st.lists(st.none() | st.sampled_from([0, 1]), min_size=4, max_size=4),
        st.lists(st.none() | st.floats(), min_size=4, max_size=4),
        st.lists(st.none() | st.booleans(), min_size=4, max_size=4),
        st.lists(st.none() | st.datetimes(), min_size=4, max_size=4),
        st.lists(st.binary(max_size=3), min_size=4, max_size=4),
        st.lists(st.lists(st.integers(0, 3), max_size=2), min_size=4, max_size=4),
    )

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*[values] * 5))
    def run(columns: tuple[list[Any], ...]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "schema.yaml").write_text(SCHEMA)
            pq.write_table(
                pa.table({**dict(zip("abcde", map(pa.array, columns), strict=True)), "f": [0] * 4}),
                folder / "f.parquet",
            )
            try:
                read = read_all(open_source("table", [folder / "f.parquet"], schema=folder / "schema.yaml"))
            except DataError:
                return
        expected = [plain_row(row) for row in zip(*columns, strict=True)]
        accepted = [row for row in expected if row is not None]
        assert read.rejections.read == 4
        assert read.rejections.accepted == len(accepted) == len(read.label)
        found = zip(
            read.label,
            *(read.table[name].to_pylist() for name in "bc"),
            read.weight or [],
            read.time or [],
            strict=True,
        )
        for got, wanted in zip(found, accepted, strict=True):
            # Arrow writes whole floats and booleans otherwise than Python; as categories they are the same.
            assert canonical_text(got[2]) == canonical_text(wanted[2])
            pairs = zip((*got[:2], *got[3:]), (*wanted[:2], *wanted[3:]), strict=True)
            assert all(same(a, b) for a, b in pairs), (got, wanted)

    run()


def plain_row(row: tuple[Any, ...]) -> Values | None:
    numbers = [
        int(value) if isinstance(value, bool) and place in (1, 3, 4) else value for place, value in enumerate(row)
    ]
    texts = ["" if value is None else str(value) for value in numbers]
    try:
        return [label(texts[0]), number(texts[1]), word(texts[2]), weight(texts[3]), seconds(texts[4])]
    except BadRowError:
        return None
