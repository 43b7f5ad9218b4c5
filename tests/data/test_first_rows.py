from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nasrec_automl.data import first_rows
from nasrec_automl.data.first_rows import read_first_rows
from nasrec_automl.errors import DataError


@pytest.mark.parametrize(
    ("ending", "separator"), [("csv", ";"), ("csv", "\t"), ("csv", "|"), ("tsv", ","), ("txt", ",")]
)
def test_the_separator_is_found_where_the_ending_says_another(ending: str, separator: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    path.write_text(f'y{separator}"a{separator}b"{separator}c\n1{separator}x.y{separator}\n')
    found = read_first_rows(path)
    assert found.separator == separator
    assert list(found.texts.columns) == ["y", f"a{separator}b", "c"]
    assert found.texts["c"].isna().all()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_where_the_ending_says_none(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "f.dat"
    path.write_text(f'y{separator}"a{separator}b"{separator}c\n1{separator}x.y{separator}\n')
    found = read_first_rows(path)
    assert found.separator == separator
    assert list(found.texts.columns) == ["y", f"a{separator}b", "c"]


def test_a_single_column_stays_one(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("y\n1\n")
    found = read_first_rows(tmp_path / "f.csv")
    assert found.separator is None
    assert found.texts["y"].tolist() == ["1"]


@pytest.mark.parametrize("head", ["1,75.8,d", "y,75.8,d", "y,1,1", ";".join("10x")])
def test_names_are_no_numbers(head: str, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{head}\n{head}\n")
    with pytest.raises(DataError, match=r"f\.csv, line 1: expected the columns' names, but '[0-9.]+' is a number"):
        read_first_rows(tmp_path / "f.csv")


def test_no_more_rows_are_read_than_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_rows, "MOST_ROWS", 2)
    (tmp_path / "f.csv").write_text("y,c\n1,a\n0,b\n1,c\n")
    pq.write_table(pa.table({"y": [1, 0, 1]}), tmp_path / "f.parquet")
    for ending in ("csv", "parquet"):
        assert read_first_rows(tmp_path / f"f.{ending}").texts["y"].tolist() == ["1", "0"]


def test_lists_moments_and_what_cannot_be_used(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([0.1, float("nan")], pa.float32()),
        "d": pa.array([date(1970, 1, 2), None]),
        "l": pa.array([["a|b", None, "", "c"], None]),
        "s": pa.array([{"a": 1}, None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = read_first_rows(tmp_path / "f.parquet")
    assert {name: texts.dropna().tolist() for name, texts in found.texts.items()} == {
        "n": ["0.1"],
        "d": ["1970-01-02 00:00:00.000000Z"],
        "l": ["a|b|c"],
    }
    assert (found.most, found.moments, found.unusable) == ({"l": 2}, {"d"}, {"s": "struct<a: int64>"})
    assert not found.bad_rows


def test_texts_as_polars_writes_them(tmp_path: Path) -> None:
    columns = {"c": pa.array(["a", None], pa.string_view()), "l": pa.array([["a"], None], pa.list_(pa.string_view()))}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = read_first_rows(tmp_path / "f.parquet")
    assert {name: texts.dropna().tolist() for name, texts in found.texts.items()} == {"c": ["a"], "l": ["a"]}
    assert not found.unusable


def test_a_file_without_rows(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("y,c\n")
    pq.write_table(pa.table({"y": pa.array([], pa.int64())}), tmp_path / "f.parquet")
    for ending in ("csv", "parquet"):
        assert read_first_rows(tmp_path / f"f.{ending}").rejections.accepted == 0
