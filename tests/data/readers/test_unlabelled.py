"""Rows for a model are read as training's were; a bad one is an error that names its line."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.keys import keys_of_any
from nasrec_automl.data.readers import inputs, parquet
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.readers.unlabelled import count_rows, read_unlabelled
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.errors import DataError
from tests.data.readers.rows import criteo_lines, read_all, write

DECLARED = Declared(
    dense={"price": DenseOptions()},
    categorical={"site": CategoryFormat(), "code": CategoryFormat(format="hex"), "tags": CategoryFormat(max_values=2)},
)
LINES = ["tags,more,price,code,site", 'a|b,1,2.5,0a1b2c3d,"x,y"', ",2,NA,,NA"]
CRITEO = Declared(
    dense={f"I{i}": DenseOptions() for i in range(1, 14)},
    categorical={f"C{i}": CategoryFormat(format="hex") for i in range(1, 27)},
)


def read(
    path: Path, declared: Declared = DECLARED, source: str | None = None, schema: TableSchema | None = None
) -> pa.Table:
    return pa.concat_tables(read_unlabelled(path, declared, source=source, schema=schema))


def schema_of_own(columns: list[str] | None) -> TableSchema:
    return TableSchema.model_validate(
        {
            "label": "clicked",
            "separator": ";",
            "columns": columns,
            "dense": {"price": "log"},
            "categorical": {"site": {}, "code": {"format": "hex"}, "tags": {"max_values": 2}},
            "ignored": ["more"],
        }
    )


def check(table: pa.Table) -> None:
    assert table["price"].to_pylist() == [2.5, None]
    assert table["site"].to_pylist() == ["x,y", None]
    assert table["code"].to_pylist() == ["0a1b2c3d", None]
    assert table["tags"].to_pylist() == [["a", "b"], None]
    assert "more" not in table.column_names


def test_text_and_parquet_say_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", LINES)
    check(read(path))
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    check(read(tmp_path / "rows.csv.gz"))
    frame = pd.read_csv(path)
    for ending in ("tsv", "txt"):
        frame.to_csv(tmp_path / f"rows.{ending}", sep="\t", index=False)
        check(read(tmp_path / f"rows.{ending}"))
    frame["tags"] = [["a", "b"], None]
    frame.to_parquet(tmp_path / "rows.parquet")
    check(read(tmp_path / "rows.parquet"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "Float32", "float[pyarrow]", "category"])
def test_numbers_as_categories_are_the_same_everywhere(dtype: str, tmp_path: Path) -> None:
    numbers = pd.Series([0.1, 2.5, 12, 2048, 1e-5, 9526339345363632.0, None, 0.1])
    if "16" in dtype:
        numbers[5] = 7
    plain = numbers.astype(dtype if dtype in ("float16", "float64") else "float32")
    frame = pd.DataFrame({"c": plain.astype(dtype)})
    plain.to_frame("c").to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    declared = Declared(dense={}, categorical={"c": CategoryFormat()})
    table = pa.chunked_array([pa.array(frame["c"], from_pandas=True)])
    read_back = pd.read_parquet(tmp_path / "rows.parquet")["c"]
    files = [read(tmp_path / name, declared)["c"] for name in ("rows.csv", "rows.parquet")]
    expected, *others = [keys_of_any(form, "c") for form in (frame["c"], table, read_back, *files)]
    assert "0.1" in expected.texts
    for other in others:
        assert other.keys.tolist() == expected.keys.tolist()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_is_read_some_rows_at_a_time(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_BLOCK", 100)
    monkeypatch.setattr(parquet, "_ROWS", 10)
    frame = pd.DataFrame({"price": range(100), "site": "s", "code": "00000000", "tags": "a|b"})
    path = tmp_path / f"rows.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    tables = list(read_unlabelled(path, DECLARED))
    assert len(tables) >= 10
    assert [value for table in tables for value in table["price"].to_pylist()] == list(range(100))


def test_derived_columns_are_read_of_their_source(tmp_path: Path) -> None:
    derived = (DerivedColumn(name="hour", source="at", kind="hour"),)
    declared = Declared(dense={}, categorical={"hour": CategoryFormat()}, derived=derived)
    table = read(write(tmp_path / "rows.csv", ["at", "3600"]), declared)
    assert table.to_pydict() == {"at": [3600.0]}
    with pytest.raises(DataError, match=r"rows.csv, line 3: at: a number beyond .*divide the column.*\('1e15'\)"):
        read(write(tmp_path / "rows.csv", ["at", "3600", "1e15"]), declared)


def test_a_label_that_is_not_there_is_not_kept(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "categorical": {"site": None}, "columns": ["y", "site"]})
    declared = Declared(dense={}, categorical={"site": CategoryFormat()})
    path = write(tmp_path / "rows.csv", ["1,a", "0,b"])
    (table,) = read_unlabelled(path, declared, schema=schema, keep=["y"])
    assert table.to_pydict() == {"y": ["1", "0"], "site": ["a", "b"]}
    with pytest.raises(DataError, match=r"rows.csv: has no column 'y' to keep"):
        list(read_unlabelled(write(path, ["a", "b"]), declared, schema=schema, keep=["y"]))


def test_the_format_of_times_is_known(tmp_path: Path) -> None:
    derived = (DerivedColumn(name="hour", source="at", kind="hour", format="%d.%m.%Y %H:%M"),)
    declared = Declared(dense={}, categorical={"hour": CategoryFormat()}, derived=derived)
    table = read(write(tmp_path / "rows.csv", ["at", "01.01.1970 01:00", '""']), declared)
    np.testing.assert_array_equal(declared.columns(table)["hour"], [1, np.nan])
    with pytest.raises(DataError, match=r"line 3: at: a time that is not %d\.%m\.%Y %H:%M \('3600'\)"):
        read(write(tmp_path / "rows.csv", ["at", "01.01.1970 01:00", "3600"]), declared)


@pytest.mark.parametrize(
    ("lines", "naming"),
    [
        (
            [*LINES, "a,1,cheap,,x"],
            r"rows.csv, line 4: price: text where a number should be \('cheap'\); correct that value, or leave",
        ),
        ([*LINES, "a,1,1,XYZ,x"], r"rows.csv, line 4: code: not 8 hex digits"),
        ([*LINES, "a,1,1"], r"line 4: 3 fields instead of 5; correct that line, and leave none out: "),
        (
            ["price,site,code", "1,a,00000000"],
            "lacks the columns tags, which may be empty but must be there; it has price, site, code",
        ),
        (["1,a,00000000"], "expected a header"),
    ],
)
def test_bad_rows_and_columns_are_errors(lines: list[str], naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        read(write(tmp_path / "rows.csv", lines))


def test_a_bad_row_of_parquet_is_named(tmp_path: Path) -> None:
    table = pa.table({"price": ["1", "x"], "site": ["a", "b"], "code": ["", ""], "tags": [["a"], ["b"]]})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet, line 2: price: text where"):
        read(tmp_path / "rows.parquet")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: name its files, one in each call"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"gone.csv: no such file; expected CSV, TSV or Parquet"):
        read(tmp_path / "gone.csv")
    (tmp_path / "rows.parquet").write_text("price\n")
    with pytest.raises(DataError, match=r"rows.parquet.*cannot be read as Parquet"):
        read(tmp_path / "rows.parquet")


def test_criteos_files_with_and_without_labels(tmp_path: Path) -> None:
    lines = criteo_lines(500)
    labelled = write(tmp_path / "train.txt", lines)
    unlabelled = write(tmp_path / "test.txt", [line.partition("\t")[2] for line in lines])
    expected = read_all(criteo([labelled])).table
    for path in (labelled, unlabelled):
        assert read(path, CRITEO, "criteo").equals(expected)
    with pytest.raises(DataError, match="without a header: criteo"):
        read(labelled, CRITEO, "avazu")
    with pytest.raises(DataError, match=r"test.txt, line 1: 2 fields instead of 39"):
        read(write(tmp_path / "test.txt", ["1\t2"]), CRITEO, "criteo")


def test_a_file_without_a_header_is_told_how_to_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "test.txt", [line.partition("\t")[2] for line in criteo_lines(2)])
    naming = (
        r"test\.txt: expected a header that names the columns I1, .* separated by a tab, but the first line is .*: add "
        r"the header, give the schema of the training rows where it says how the file is made \(`--schema`\), or the "
        r"source of a file without a header \(`--source`: criteo\)"
    )
    with pytest.raises(DataError, match=naming):
        read(path, CRITEO)


def test_the_schemas_separator_and_columns_say_how_a_file_is_made(tmp_path: Path) -> None:
    rows = ['a|b;1;2.5;1;0a1b2c3d;"x,y"', ";2;NA;0;;NA"]
    names = ["tags", "more", "price", "clicked", "code", "site"]
    unlabelled = ['a|b;1;2.5;0a1b2c3d;"x,y"', ";2;NA;;NA"]
    check(read(write(tmp_path / "rows.data", [";".join(names), *rows]), schema=schema_of_own(None)))
    check(read(write(tmp_path / "rows.csv", rows), schema=schema_of_own(names)))
    check(read(write(tmp_path / "rows.csv", unlabelled), schema=schema_of_own(names)))
    check(read(write(tmp_path / "rows.csv", ["", *unlabelled]), schema=schema_of_own(names)))
    with pytest.raises(DataError, match=r"rows.csv, line 1: 4 fields instead of 5"):
        read(write(tmp_path / "rows.csv", ["a;1;2;3"]), schema=schema_of_own(names))
    with pytest.raises(DataError, match=r"rows.csv, line 1: a quoted field"):
        read(write(tmp_path / "rows.csv", ['a;1;2;3;"']), schema=schema_of_own(names))


@pytest.mark.parametrize("header", ["y;site;tag", "site;tag", '"site"; tag'])
def test_a_header_where_none_is_expected_is_no_row(header: str, tmp_path: Path) -> None:
    names = {"label": "y", "separator": ";", "columns": ["y", "site", "tag"]}
    schema = TableSchema.model_validate({**names, "categorical": {"site": {}, "tag": {}}})
    declared = Declared(dense={}, categorical={"site": CategoryFormat(), "tag": CategoryFormat()})
    path = write(tmp_path / "rows.csv", [header, "1;a;b" if header.startswith("y") else "a;b"])
    with pytest.raises(DataError, match=r"rows\.csv: its first line names the columns, but no header is expected"):
        read(path, declared, schema=schema)


def test_a_schema_that_does_not_fit_is_named(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "categorical": {"site": {}}, "columns": ["y", "site"]})
    path = write(tmp_path / "rows.csv", ["1,a"])
    with pytest.raises(DataError, match=r"rows.csv: price, code, tags should be read, which `columns`"):
        read(path, schema=schema)
    with pytest.raises(DataError, match=r"'criteo' are of a known format and take no schema"):
        read(path, CRITEO, "criteo", schema)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sign", ["x", '"x"'])
def test_an_empty_line_of_one_column_is_a_missing_value(end: str, sign: str, tmp_path: Path) -> None:
    declared = Declared(dense={}, categorical={"site": CategoryFormat()})
    schema = TableSchema.model_validate({"label": "y", "categorical": {"site": {}}, "columns": ["y", "site"]})
    path = tmp_path / "rows.csv"
    for values in (["", "x", "", "", "x", ""], ["x", ""], [""], ["", ""], ["", *["x"] * 5]):
        lines = [value and sign for value in values]
        expected = [value or None for value in values]
        path.write_text("".join(line + end for line in ["site", *lines]), newline="")
        assert read(path, declared)["site"].to_pylist() == expected
        path.write_text("".join(line + end for line in lines), newline="")
        assert read(path, declared, schema=schema)["site"].to_pylist() == expected
    numbers = Declared(dense={"price": DenseOptions()}, categorical={})
    path.write_text("price" + end + "1" + end + end + "2", newline="")
    assert read(path, numbers)["price"].to_pylist() == [1.0, None, 2.0]


def test_rows_are_counted_where_that_costs_no_reading(tmp_path: Path) -> None:
    pq.write_table(pa.table({"price": [1.0, 2.0, 3.0]}), tmp_path / "rows.parquet")
    assert count_rows(tmp_path / "rows.parquet") == 3
    (tmp_path / "rows.csv").write_text("price\n1\n")
    (tmp_path / "bad.parquet").write_text("no Parquet")
    for name in ("rows.csv", "bad.parquet", "gone.parquet"):
        assert count_rows(tmp_path / name) is None


def test_a_row_of_parquet_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    sites = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"caf\xe9"]).buffers())
    rows = pa.table({"price": [1.0, 2.0], "site": sites, "code": ["00000000"] * 2, "tags": ["a|b"] * 2})
    pq.write_table(rows, tmp_path / "rows.parquet")
    with pytest.raises(
        DataError, match=r"rows.parquet, line 2: site: broken encoding, not UTF-8 \('caf.*xe9'\); correct"
    ):
        read(tmp_path / "rows.parquet")
