"""Layout, headers and line numbers; single lines of any kind are fuzzed."""

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from nasrec_automl.data.readers import inputs, text
from nasrec_automl.data.readers.kinds import INTEGER, TEXT, Column
from nasrec_automl.data.readers.text import Layout, read_text, split_line
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError

# No letter x: a file with whole numbers is looked at line by line where there is one, for 0x10 is none.
COLUMNS = (Column("a", INTEGER, required=True), Column("b", TEXT), Column("c", None))
PLAIN = Layout(COLUMNS, ",")
HEADED = Layout(COLUMNS, ",", header=True, quoting=True)


def read(path: Path, layout: Layout, kept: Path | None = None) -> tuple[list[dict[str, object]], Rejections]:
    rejections = Rejections(1.0, kept)
    tables = list(read_text(path, rejections, layout=layout))
    return [row for table in tables for row in table.to_pylist()], rejections


def test_line_numbers_hold_in_files_of_many_blocks(tmp_path: Path) -> None:
    bad = {17, 150_000, 299_999, 300_000}
    path, kept = tmp_path / "f.csv", tmp_path / "rejected.tsv"
    path.write_text("".join("v\n" if line in bad else f"{line},b,c\n" for line in range(1, 300_001)))
    rows, rejections = read(path, PLAIN, kept)
    assert [row["a"] for row in rows] == [line for line in range(1, 300_001) if line not in bad]
    assert (rejections.read, rejections.rejected) == (300_000, 4)
    assert {int(line.split("\t")[1]) for line in kept.read_text().splitlines()[1:]} == bad


def test_columns_follow_the_header(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"\xef\xbb\xbfc,b,a\r\n,v,1\r\n\r\n,,2")
    rows, rejections = read(path, HEADED)
    assert rows == [{"b": "v", "a": 1}, {"b": None, "a": 2}]
    assert rejections.read == 2


@pytest.mark.parametrize("content", [b"1,v,y\n\n2,v,y\n", b"\n1,v,y\n2,v,y\n", b"1,v,y\r\n\r\n2,v,y\r\n\r\n"])
def test_empty_lines_are_no_rows(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    nothing_required = Layout((Column("a", INTEGER), *COLUMNS[1:]), ",")
    rows, rejections = read(path, nothing_required)
    assert [row["a"] for row in rows] == [1, 2]
    assert (rejections.read, rejections.rejected) == (2, 0)


@pytest.mark.parametrize(
    ("header", "naming"),
    [
        ("1,v,y", "expected a header.* separated by ',', but the first line is '1,v,y': add the header$"),
        ("1,1,1", "expected a header"),
        (",1,", "expected a header"),
        ("a\tb\tc", r"expected a header.*first line is 'a\\tb\\tc'"),
        ("x" * 999, f"first line is '{'x' * 200}'"),
        ("a,c", "lacks the columns b, which may be empty but must be there; it has a, c"),
        ("d,c", "lacks the columns a, b; it has d, c"),
        ("a,b,c,d", "nothing says what the columns d are"),
        (",a,b,c", "nothing says what the columns '' are"),
        ("a,b,c,a", "'a' is there twice"),
        ('a,b,"c', "does not end"),
        ("", "expected a header"),
    ],
)
def test_a_wrong_header_is_named(header: str, naming: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n1,v,y\n")
    with pytest.raises(DataError, match=naming):
        read(path, HEADED)


@pytest.mark.parametrize("bad", ["", "x,,v,y,\n"])  # a bad row takes the slow way
def test_further_columns_may_share_a_name(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"a,,b,c,\n1,,v,y,\n{bad}")
    rows, rejections = read(path, replace(HEADED, further=True))
    assert ([row["a"] for row in rows], rejections.rejected) == ([1], bool(bad))


def test_a_header_where_none_is_expected_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b,c\n1,v,y\na,b,c\n")
    rows, rejections = read(path, PLAIN)
    assert len(rows) == 1
    assert dict(rejections.reasons) == {
        "a header where none is expected": 1,
        "a: text where a whole number should be": 1,
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,v", "2 fields instead of 3"),
        (b"1,v,y,z", "4 fields instead of 3"),
        (b",v,y", "a: no value"),
        (b"0x10,v,y", "a: text where a whole number should be"),
        (b"1,\xff,y", "broken encoding, not UTF-8"),
        (b"PK\x03\x04\xff", "a zip archive: unpack it"),
        (b"\x1f\x8b\x08\xff", "compressed by gzip: let the file's name end in .gz"),
        (b"1,v\rx,y", "a carriage return within a line"),
        (b'1,"v,y', "a quoted field that does not end on its line"),
        (b"1," + b"v" * 200_000 + b',"y', "a quoted field that does not end on its line"),
    ],
)
def test_reasons(line: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b,c\n1,v,y\n" + line + b"\n2,v,y\n")
    rows, rejections = read(path, HEADED)
    assert [row["a"] for row in rows] == [1, 2]
    assert dict(rejections.reasons) == {reason: 1}


def test_quoted_fields_may_hold_separators_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('a,b,c\n1,"v, ""y""",\n2,,"z"\n')
    rows, _ = read(path, HEADED)
    assert [row["b"] for row in rows] == ['v, "y"', None]


LONG = "v" * 200_000


@pytest.mark.parametrize(
    "field",
    [
        *("v", '"v"', '""', '"a,b"', '"a""b"', 'a"b', '"a"b', '""v', "NA", '"NA"', " v ", "é", "\x00", "'", "0x1"),
        pytest.param(f'"{LONG}"', id="long"),
    ],
)
def test_a_field_means_the_same_whether_or_not_a_bad_line_is_near(field: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    layout = replace(HEADED, missing=frozenset(("", "NA")))
    lines = f"1,{field},y\n2,v,{field}\n"
    path.write_text(f"a,b,c\n{lines}")
    alone, _ = read(path, layout)
    for near in (f"{lines}bad\n", f"bad\n{lines}"):
        path.write_text(f"a,b,c\n{near}")
        assert read(path, layout)[0] == alone
    quoted = {'"v"': "v", f'"{LONG}"': LONG, '"a,b"': "a,b", '"a""b"': 'a"b', '"a"b': "ab", '""v': "v"}
    missing = field in ('""', "NA", '"NA"')
    assert [row["b"] for row in alone] == [None if missing else quoted.get(field, field), "v"]


def test_an_import_leaves_the_processs_limit_of_a_field() -> None:
    check = "import csv; limit = csv.field_size_limit(); import nasrec_automl.data.readers.text"
    subprocess.run([sys.executable, "-c", f"{check}; assert csv.field_size_limit() == limit"], check=True)


@pytest.mark.parametrize("limit", [10, 1 << 30])
def test_the_process_keeps_its_limit_of_a_field(limit: int) -> None:
    before = csv.field_size_limit(limit)
    try:
        with ThreadPoolExecutor(8) as threads:
            split = list(threads.map(lambda _: split_line(f'1,"{LONG}",y'.encode(), HEADED), range(200)))
        assert split == [["1", LONG, "y"]] * 200
        with pytest.raises(ValueError, match="does not end on its line"):
            split_line(b'1,"v', HEADED)
        assert csv.field_size_limit() == limit
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("few", [1, 1 << 15])
def test_a_row_over_several_lines_is_one_bad_row(
    few: int, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_FEW", few)
    path, kept = tmp_path / "f.csv", tmp_path / "rejected.tsv"
    lines = ["a,b,c", "1,v,y", '2,"v', "3,like a row,y", "", 'v ""w""",y', "4,v,y", '5,v,"y', 'y"']
    for last in ("", end):
        path.write_text(end.join(lines) + last, newline="")
        rows, rejections = read(path, HEADED, kept)
        assert [row["a"] for row in rows] == [1, 4]
        assert dict(rejections.reasons) == {"a quoted field that does not end on its line": 2}
        assert rejections.read == 4
        assert [line.split("\t")[1] for line in kept.read_text().splitlines()[1:]] == ["3", "8"]


def test_rows_over_several_lines_meet_the_ends_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_BLOCK", 5000)
    path = tmp_path / "f.csv"
    path.write_text("a,b,c\n" + "".join(f'{row},v,y\n-1,"v\n-2,w,y\n-3,w,y\n",y\n' for row in range(2000)))
    rows, rejections = read(path, HEADED)
    assert [row["a"] for row in rows] == list(range(2000))
    assert (rejections.read, rejections.rejected) == (4000, 2000)


@pytest.mark.parametrize("stray", ['1,"v,y', '1,"v,y,z', '1,v,"y'])
def test_a_stray_quote_costs_its_line_alone(stray: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    for after in ("", '2,"v",y\n', "2,v,y\n" * 3000 + '2,v",y\n'):
        path.write_text(f"a,b,c\n0,v,y\n{stray}\n2,v,y\n{after}")
        rows, rejections = read(path, HEADED)
        assert len(rows) == rejections.read - 1 == 2 + after.count("\n")


def test_a_carriage_return_and_a_quoted_newline_do_not_make_up_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b'a,b,c\n1,v,y\r2,v,y\n3,"v\n",y\n')
    rows, rejections = read(path, HEADED)
    assert rows == []
    assert rejections.read == rejections.rejected == 2
