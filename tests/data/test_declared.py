import pandas as pd
import pyarrow as pa
import pytest

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.declared import Declared
from nasrec_automl.errors import DataError

DECLARED = Declared(
    dense={"n": DenseOptions(), "decade": DenseOptions()},
    categorical={"c": CategoryFormat(), "hour": CategoryFormat(), "n": CategoryFormat()},
    derived=(
        DerivedColumn(name="hour", source="t", kind="hour"),
        DerivedColumn(name="decade", source="year", kind="decade"),
    ),
)
FRAME = pd.DataFrame({"other": [0, 0], "n": [1.0, 2.0], "c": ["a", None], "t": [3600, 7200], "year": [1999, 2001]})


def test_raw_columns_are_named_once_without_the_derived() -> None:
    assert DECLARED.raw_columns == ("t", "year", "n", "c")


@pytest.mark.parametrize("rows", [FRAME, pa.table(FRAME)], ids=["frame", "table"])
def test_columns_and_what_is_derived_of_them(rows: pd.DataFrame | pa.Table) -> None:
    columns = DECLARED.columns(rows)
    assert set(columns) == {"t", "year", "n", "c", "hour", "decade"}
    assert list(columns["hour"]) == [1, 2]
    assert list(columns["decade"]) == [1990, 2000]


def test_rows_may_be_dicts() -> None:
    for rows in (FRAME, pa.table(FRAME)):
        assert DECLARED.table(rows) is rows
    assert list(DECLARED.table({"n": 2**53 + 1, "c": "a"})["n"]) == [2**53 + 1]
    exact = DECLARED.table([{"n": 2**53 + 1}, {"c": "a"}])
    assert exact["n"][0] == 2**53 + 1
    assert exact["c"].isna().tolist() == [True, False]
    assert list(DECLARED.table([]).columns) == ["t", "year", "n", "c"]


def test_what_is_no_rows_is_named_by_its_whole_type() -> None:
    def to_arrow() -> pa.Table: ...

    polars = type("DataFrame", (), {"__module__": "polars.dataframe.frame", "to_arrow": to_arrow})()
    for rows, naming in (
        (polars, r"list of such dicts, but polars\.dataframe\.frame\.DataFrame came: give its `\.to_arrow\(\)`$"),
        (FRAME["n"], r"but pandas\.Series came$"),
        (5, "but int came$"),
        ([{"n": 1}, 5], "but a list with int came$"),
        (None, "but NoneType came$"),
    ):
        with pytest.raises(DataError, match=rf"expected raw rows as a pandas DataFrame, an Arrow table, .* {naming}"):
            DECLARED.table(rows)  # type: ignore[arg-type]


def test_a_missing_column_and_one_that_is_there_twice_are_named() -> None:
    for rows in (FRAME.drop(columns=["c", "t"]), pa.table(FRAME.drop(columns=["c", "t"]))):
        with pytest.raises(DataError, match="the data lack the columns t, c; expected t, year, n, c"):
            DECLARED.columns(rows)
    twice = pa.table([*pa.table(FRAME).columns, pa.array([1, 2])], names=[*FRAME.columns, "c"])
    for rows in (pd.concat([FRAME, FRAME[["c"]]], axis=1), twice):
        with pytest.raises(DataError, match="several columns named c"):
            DECLARED.columns(rows)


def test_texts_of_a_table_that_are_not_utf_8_are_named() -> None:
    texts = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"caf\xe9"]).buffers())
    for name in ("c", "n", "year"):
        table = pa.table(FRAME)
        rows = table.set_column(table.column_names.index(name), name, texts)
        with pytest.raises(DataError, match=f"column '{name}' must hold texts in UTF-8, but some are not .*index 1"):
            DECLARED.columns(rows)
    assert DECLARED.columns(pa.table(FRAME).append_column("unused", texts)).keys() >= {"c", "n"}
