from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasrec_automl.data.readers import parquet
from nasrec_automl.data.readers.kinds import HEX, LABEL, NUMBER, TEXT, Column, instant, several
from nasrec_automl.data.readers.parquet import read_parquet
from nasrec_automl.data.readers.text import checked_value
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError

COLUMNS = (Column("y", LABEL, required=True), Column("n", NUMBER), Column("c", TEXT), Column("x", None))
GOOD = {"y": [1, 0], "n": [1.5, None], "c": ["a", "b"], "x": [[1], [2]]}


def read(path: Path, columns: tuple[Column, ...] = COLUMNS) -> tuple[pa.Table, Rejections]:
    rejections = Rejections(1.0)
    return pa.concat_tables(read_parquet(path, rejections, columns=columns)), rejections


def write(folder: Path, **columns: object) -> Path:
    pq.write_table(pa.table({**GOOD, **columns}), folder / "f.parquet")
    return folder / "f.parquet"


@pytest.mark.parametrize(
    ("column", "values", "made"),
    [
        ("y", pa.array([True, False]), [1, 0]),
        ("y", pa.array(["1", "0"]).dictionary_encode(), [1, 0]),
        ("y", pa.array([1.0, 0.0]), [1, 0]),
        ("n", pa.array([2**60, 3]), [float(2**60), 3.0]),
        ("n", pa.array([float("nan"), 3]), [None, 3.0]),
        ("n", pa.array(["2", "NA"]), [2.0, None]),
        ("n", pa.array([True, None]), [1.0, None]),
        ("c", pa.array([2**64 - 1, None], pa.uint64()), ["18446744073709551615", None]),
        ("c", pa.array(["NA", "b"], pa.large_string()), [None, "b"]),
        ("c", pa.array([None, None]), [None, None]),
        ("n", pa.array([None, None]), [None, None]),
        ("y", pa.array(["1", "0"], pa.string_view()), [1, 0]),
        ("n", pa.array(["2", "NA"], pa.string_view()), [2.0, None]),
        ("c", pa.array(["NA", "b"], pa.string_view()), [None, "b"]),
    ],
)
def test_types_that_fit(column: str, values: pa.Array, made: list[object], tmp_path: Path) -> None:
    table, rejections = read(write(tmp_path, **{column: values}))
    assert table[column].to_pylist() == made
    assert rejections.rejected == 0


def test_rows_of_later_batches_have_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    rows = 50_000
    labels = [1] * rows
    labels[40_000] = 7
    pq.write_table(pa.table({"y": labels, "n": [0.0] * rows, "c": ["a"] * rows, "x": [0] * rows}), path)
    rejections = Rejections(1.0, tmp_path / "rejected.tsv")
    tables = list(read_parquet(path, rejections, columns=COLUMNS))
    assert sum(table.num_rows for table in tables) == rows - 1
    assert (tmp_path / "rejected.tsv").read_text().splitlines()[1].split("\t")[1] == "40001"


@pytest.mark.parametrize(
    ("change", "naming"),
    [
        ({"n": [[1], [2]]}, "'n' is of type list"),
        ({"c": pa.array([0, 1], pa.timestamp("s"))}, "'c' is of type timestamp"),
        ({"z": [1, 2]}, "nothing says what the columns z are"),
        ({"c": pa.array([b"a", b"b"])}, "'c' is of type binary, which fits no such role: convert or ignore it"),
    ],
)
def test_what_fits_no_role_is_named(change: dict[str, object], naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        read(write(tmp_path, **change))


def test_damaged_files(tmp_path: Path) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:-8] + b"x" * 8):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"f.parquet, after row 0: cannot be read"):
            read(path)


def test_moments_keep_their_type(tmp_path: Path) -> None:
    columns = (*COLUMNS, Column("t", instant("ISO8601"), required=True))
    table, _ = read(write(tmp_path, t=pa.array([0, 1_500_000], pa.timestamp("us", "UTC"))), columns)
    assert table["t"].cast(pa.int64()).to_pylist() == [0, 1_500_000]
    table, _ = read(write(tmp_path, t=pa.array([date(1, 1, 1), date(9999, 12, 31)])), columns)
    assert [moment.year for moment in table["t"].to_pylist()] == [1, 9999]
    with pytest.raises(DataError, match=r"'t' is of type duration\[s\], which fits no such role"):
        read(write(tmp_path, t=pa.array([1, 2], pa.duration("s"))), columns)


SEVERAL = (*COLUMNS, Column("s", several("|")))


@pytest.mark.parametrize(
    ("values", "made"),
    [
        (pa.array([["a", "b"], None]), [["a", "b"], None]),
        (pa.array([[2**60, None], []], pa.large_list(pa.int64())), [[str(2**60), None], []]),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), [["1", "2"], ["3", "4"]]),
        (pa.array(["a|b", "NA"]), [["a", "b"], None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([["a", "b"], None], pa.list_(pa.string_view())), [["a", "b"], None]),
        (pa.array([["a", None], []], pa.large_list(pa.string_view())), [["a", None], []]),
    ],
)
def test_several_values_are_lists_or_texts(values: pa.Array, made: list[object], tmp_path: Path) -> None:
    path = write(tmp_path, s=values)
    table, rejections = read(path, SEVERAL)
    assert table["s"].to_pylist() == made
    assert rejections.rejected == 0
    path = write(tmp_path, s=values, y=pa.array([7, 0]))
    table, rejections = read(path, SEVERAL)
    assert table["s"].to_pylist() == made[1:]
    assert rejections.rejected == 1


def of_bytes(type_: pa.DataType) -> pa.Array:
    """Two texts, the first of which is no UTF-8."""
    texts = pa.Array.from_buffers(pa.string(), 2, pa.array([b"caf\xe9", b"b"]).buffers())
    if pa.types.is_list(type_):
        return pa.ListArray.from_arrays([0, 1, 2], texts)
    return texts.dictionary_encode() if pa.types.is_dictionary(type_) else texts.cast(type_)


@pytest.mark.parametrize(
    "type_",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string())],
)
def test_a_text_that_is_not_utf_8_is_a_bad_row(type_: pa.DataType, tmp_path: Path) -> None:
    path = write(tmp_path, s=of_bytes(type_))
    rejections = Rejections(1.0, tmp_path / "rejected.tsv")
    table = pa.concat_tables(read_parquet(path, rejections, columns=SEVERAL))
    assert table["s"].to_pylist() == [["b"]]
    assert dict(rejections.reasons) == {"s: broken encoding, not UTF-8": 1}
    line = (tmp_path / "rejected.tsv").read_text().splitlines()[1]
    assert "\t1\ts: broken encoding, not UTF-8\t" in line
    assert "caf\\xe9" in line


@pytest.mark.parametrize("column", ["y", "n", "c", "t"])
def test_columns_of_every_kind_may_be_of_a_broken_encoding(column: str, tmp_path: Path) -> None:
    columns = (*COLUMNS, Column("t", instant("%Y"), required=True))
    path = write(tmp_path, **{"t": ["2024", "2025"], column: of_bytes(pa.string())})
    table, rejections = read(path, columns)
    assert rejections.reasons[f"{column}: broken encoding, not UTF-8"] == 1
    assert table.num_rows == 2 - rejections.rejected


@pytest.mark.parametrize("values", [[["a"]], [date(2024, 1, 1)], [b"a"]])
def test_lists_of_what_is_no_category_fit_no_role(values: list[object], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'s' is of type list<.*convert or ignore it"):
        read(write(tmp_path, s=[values, None]), SEVERAL)


def test_further_columns_may_share_a_name(tmp_path: Path) -> None:
    names = [*GOOD, "z", "z"]
    pq.write_table(
        pa.Table.from_arrays([*map(pa.array, GOOD.values()), *[pa.array([1, 2])] * 2], names), tmp_path / "f"
    )
    tables = read_parquet(tmp_path / "f", Rejections(1.0), columns=COLUMNS, further=True)
    assert pa.concat_tables(tables).column_names == ["y", "n", "c"]


def test_further_columns_are_left_out_where_there_may_be_some(tmp_path: Path) -> None:
    path = write(tmp_path, z=[1, 2])
    tables = read_parquet(path, Rejections(1.0), columns=COLUMNS, further=True)
    assert pa.concat_tables(tables).column_names == ["y", "n", "c"]


def test_a_moment_where_a_number_should_be(tmp_path: Path) -> None:
    hour = replace(NUMBER, stripped=False)  # as what is derived of it, a kind of its own
    path = write(tmp_path, n=pa.array([0, 1], pa.timestamp("s")))
    for kind in (NUMBER, hour):
        with pytest.raises(DataError, match=r"'n' is of type timestamp\[ms\].*: derive hour and weekday of it with"):
            read(path, (COLUMNS[0], Column("n", kind), *COLUMNS[2:]))


@pytest.mark.parametrize("group", [10_000, 1_000_000])
def test_memory_does_not_grow_with_the_file(group: int, tmp_path: Path) -> None:
    path, rows = tmp_path / "f.parquet", 1_000_000
    numbers = np.random.default_rng(0).normal(size=rows)
    pq.write_table(pa.table({"y": np.zeros(rows, np.uint8), "n": numbers}), path, row_group_size=group)
    del numbers
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_parquet(path, Rejections(), columns=(COLUMNS[0], COLUMNS[1])):
        most = max(most, pa.total_allocated_bytes() - before)
    assert path.stat().st_size > 8_000_000
    assert most < 3_000_000


MIXED = (
    *(Column("y", LABEL, required=True), Column("n", NUMBER), Column("s", several("|")), Column("h", HEX)),
    Column("t", instant("ISO8601"), required=True),
)
CELLS = {
    "y": st.sampled_from(["0", "1", "true", "7", None]),
    "n": st.sampled_from([1.5, None, float("nan"), float("inf"), 1e300]) | st.floats(width=32),
    "s": st.lists(st.sampled_from([b"a", b"b", b"caf\xe9", None]), max_size=2) | st.none(),
    "h": st.sampled_from([b"0a1b2c3d", b"ffffffff", b"0A1B2C3D", b"\xff", b"", None]),
    "t": st.sampled_from(["2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05.678Z", "soon", None]),
}
TYPES = {"y": pa.string(), "n": pa.float64(), "s": pa.list_(pa.binary()), "h": pa.binary(), "t": pa.string()}


def texts(array: pa.Array) -> pa.Array:
    """The same bytes as texts, whatever they are."""
    if pa.types.is_list(array.type):
        offsets = array.offsets.take(pa.array(range(len(array) + 1)))
        nulls = None if not array.null_count else array.is_null()
        return pa.ListArray.from_arrays(offsets, texts(array.values), mask=nulls)
    return pa.Array.from_buffers(pa.string(), len(array), array.buffers()) if array.type == pa.binary() else array


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=40), few=st.integers(1, 9))
def test_rows_are_the_same_however_few_are_looked_at_one_by_one(
    rows: list[dict[str, Any]], few: int, tmp_path: Path
) -> None:
    columns = {name: texts(pa.array([row[name] for row in rows], type_)) for name, type_ in TYPES.items()}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = []
    for most in (len(rows), few):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parquet, "_FEW", most)
            rejections = Rejections(1.0, tmp_path / "rejected.tsv")
            (table,) = read_parquet(tmp_path / "f.parquet", rejections, columns=MIXED)
        kept = (tmp_path / "rejected.tsv").read_bytes() if rejections.rejected else b""
        found.append((table.to_pydict(), table.schema, rejections.reasons, kept))
    assert repr(found[0]) == repr(found[1]), "NaN is no number, but the same text"


def test_beside_a_bad_row_few_are_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def counted(column: Column, text: str | None, missing: frozenset[str]) -> Any:
        looked.append(column.name)
        return checked_value(column, text, missing)

    monkeypatch.setattr(parquet, "checked_value", counted)
    rows = 10_000
    labels = np.arange(rows) % 2
    labels[1234] = 7
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"y": labels, "n": np.zeros(rows), "c": ["a"] * rows, "x": labels}), path)
    table, rejections = read(path)
    assert (table.num_rows, rejections.rejected) == (rows - 1, 1)
    assert table["y"].to_pylist() == [*labels[:1234], *labels[1235:]]
    assert set(looked) == {"y"}, "nothing is wrong in the others"
    assert len(looked) < 1000
