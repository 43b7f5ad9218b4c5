from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.keys import Keys, hex_keys, hex_texts, keys_of_any, keys_of_hex, keys_of_lists, text_keys
from nasrec_automl.data.values import MISSING_TEXTS, canonical_text
from nasrec_automl.errors import DataError

NAN = float("nan")
SECOND = pa.array([False, True, False])
hex_cells = st.lists(
    st.none() | st.just("") | st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}"), max_size=20
)
words = st.none() | st.sampled_from(["", "a", "b", "012", "12.0", "NA", " a "]) | st.text(max_size=4)
texts = st.lists(words.filter(lambda text: text is None or text.isprintable()), max_size=20)


def chunked(values: list[Any], start: int, cut: int, type_: pa.DataType | None = None) -> pa.ChunkedArray:
    """The values from `start` on as slices of a longer array, in two chunks."""
    array = pa.array(values, type_)
    return pa.chunked_array([array.slice(start, cut), array.slice(start + cut)], array.type)


def of_texts(values: list[str | None]) -> list[int]:
    canonical = [canonical_text(value) for value in values]
    return [0 if text is None else int(text_keys([text])[0]) for text in canonical]


@settings(deadline=None)
@given(values=hex_cells, start=st.integers(0, 5), cut=st.integers(0, 5), large=st.booleans())
def test_hex_digits_are_the_number_and_1(values: list[str | None], start: int, cut: int, large: bool) -> None:
    expected = [int(value, 16) + 1 if value else 0 for value in values]
    found = keys_of_hex(pd.Series(values, dtype=object), "c")
    assert found.keys.tolist() == expected
    assert (len(found.distinct), found.texts) == (0, [])
    start = min(start, len(values))
    cut = min(cut, len(values) - start)
    table = chunked(values, start, cut, pa.large_string() if large else pa.string())
    assert keys_of_hex(table, "c").keys.tolist() == expected[start:]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5, unique=True))
def test_hex_texts_and_keys_go_both_ways(numbers: list[int]) -> None:
    words = [f"{number:08x}" for number in numbers]
    assert hex_keys(words).tolist() == [number + 1 for number in numbers]
    form = CategoryFormat(format="hex")
    keys = form.keys(pd.Series(words), "c").keys[:, 0]
    assert hex_texts(keys) == words
    assert form.text_keys(words).tolist() == keys.tolist()


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([NAN, NAN]),
        pd.Series([None, pd.NA], dtype=object),
        pd.Series(["", None], dtype="category"),
        pd.Series(["NA", r"\N"]),
        pd.Series([pd.NA, pd.NA], dtype="Int64"),
        pd.Series([pd.NaT, pd.NaT]),
        pd.Series([None, None], dtype="category"),
        pa.chunked_array([pa.nulls(2)]),
        # Arrow lets a null stand over a text.
        pa.chunked_array(
            [
                pa.StringArray.from_buffers(
                    2,
                    pa.array([0, 8, 16], pa.int32()).buffers()[1],
                    pa.py_buffer(b"0a1b2c3d" * 2),
                    pa.py_buffer(b"\0"),
                )
            ]
        ),
    ],
)
def test_missing_hex_digits_of_any_type(column: Any) -> None:
    assert keys_of_hex(column, "c").keys.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["Int64", "datetime64[ns]", "timedelta64[ns]"])
def test_values_of_another_type_are_no_hex(dtype: str) -> None:
    with pytest.raises(DataError, match=r"must hold texts of 8 hex digits, but row 2 \(the first is 1\) holds "):
        keys_of_hex(pd.Series([None, 12], dtype=dtype), "c")


def test_no_rows_have_no_keys() -> None:
    for column in (pd.Series([], dtype=object), pa.chunked_array([], pa.string())):
        assert keys_of_hex(column, "c").keys.shape == (0,)
        assert keys_of_any(column, "c").keys.shape == (0,)
        assert keys_of_lists(column, "c", "|", 3).keys.shape == (0, 3)


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ("0A1B2C3D", "'0A1B2C3D'"),
        ("0a1b2c3", "'0a1b2c3'"),
        ("0a1b2c3d0", "'0a1b2c3d0'"),
        ("0a1b2c3dffffffff", "'0a1b2c3dffffffff'"),
        ("0a1b-c3d", "'0a1b-c3d'"),
        ("0a1b2cé", "'0a1b2cé'"),  # eight bytes
        ("a\ud800", r"'a\\ud800'"),
        (12345678, "12345678: read the column as text"),
        (["0a1b2c3d"], "['0a1b2c3d']: read the column as text"),
    ],
)
def test_what_is_no_hex_is_named(wrong: object, shown: str) -> None:
    column = pd.Series(["ffffffff", None, NAN, "", wrong, "g"], dtype=object, index=range(6, 0, -1))
    with pytest.raises(
        DataError, match=r"column 'c' must hold (texts of )?8 hex digits.* but row 5 \(the first is 1\)"
    ) as error:
        keys_of_hex(column, "c")
    assert f"holds {shown}".replace("\\\\", "\\") in str(error.value)


def test_a_digit_between_two_wrong_lengths_does_not_slip_through() -> None:
    with pytest.raises(DataError, match=r"row 1 .* holds 'fffffff'"):
        keys_of_hex(pd.Series(["fffffff", "fffffffff"]), "c")


@settings(deadline=None)
@given(values=texts, start=st.integers(0, 5), cut=st.integers(0, 5))
def test_keys_of_any_type_are_those_of_the_canonical_texts(values: list[str | None], start: int, cut: int) -> None:
    found = keys_of_any(pd.Series(values, dtype=object), "c")
    assert found.keys.tolist() == of_texts(values)
    assert {canonical_text(value) for value in values} - {None} == set(found.texts)
    assert np.array_equal(text_keys(found.texts), found.distinct)
    start = min(start, len(values))
    cut = min(cut, len(values) - start)
    table = chunked(values, start, cut, pa.string())
    assert keys_of_any(table, "c").keys.tolist() == of_texts(values[start:])
    assert keys_of_any(table.dictionary_encode(), "c").keys.tolist() == of_texts(values[start:])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2, 1]),
        pd.Series([2**64 - 1, 0], dtype="uint64"),
        pd.Series([1.0, NAN, 0.1, 2**60]),
        pd.Series([0.1, 16777216], dtype="float32"),
        pd.Series([True, False]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None, "a"], dtype="category"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_frame_and_a_table_have_one_key(values: "pd.Series[Any]") -> None:
    table = pa.chunked_array([pa.array(values, from_pandas=True)])
    assert keys_of_any(values, "c").keys.tolist() == keys_of_any(table, "c").keys.tolist()


def test_several_values_of_a_table_need_to_be_declared() -> None:
    with pytest.raises(DataError, match=r"column 'c' must hold one value a row.* max_values"):
        keys_of_any(pa.chunked_array([[["a"], ["b"]]]), "c")


def test_no_text_has_the_key_of_missing() -> None:
    assert (text_keys([str(number) for number in range(1000)]) > 0).all()


def lists_of(column: Any, most: int = 3, separator: str = "|") -> list[list[str]]:
    found: Keys = keys_of_lists(column, "c", separator, most)
    assert found.keys.shape == (len(column), most)
    texts = dict(zip(found.distinct.tolist(), found.texts, strict=True))
    rows = [[texts[key] for key in row if key] for row in found.keys.tolist()]
    for row, keys in zip(rows, found.keys.tolist(), strict=True):
        assert all(keys[: len(row)]), "padding comes last"
    return rows


@settings(deadline=None)
@given(
    rows=st.lists(st.none() | st.lists(st.sampled_from(["a", "b", "012", "NA", "", " c "]), max_size=5), max_size=12),
    most=st.integers(2, 4),
    start=st.integers(0, 4),
)
def test_texts_and_lists_say_the_same(rows: list[list[str] | None], most: int, start: int) -> None:
    expected = [[text for value in row or [] if (text := canonical_text(value)) is not None][:most] for row in rows]
    joined = [None if row is None else ";-".join(row) for row in rows]
    assert lists_of(pd.Series(joined, dtype=object), most, ";-") == expected
    assert lists_of(pd.Series(rows, dtype=object), most) == expected
    start = min(start, len(rows))
    for type_ in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        assert lists_of(chunked(rows, start, (len(rows) - start) // 2, type_), most) == expected[start:]


def test_cells_of_several_kinds() -> None:
    assert lists_of(pd.Series([np.array(["a", "b"]), ("c",), ["d"], None])) == [["a", "b"], ["c"], ["d"], []]
    assert lists_of(pd.Series([[1, 2], [3]])) == [["1", "2"], ["3"]]
    assert lists_of(pd.Series([[2**64 - 1, -1, True], [10**400, None, NAN, 2.0], None])) == [
        ["18446744073709551615", "-1", "True"],
        [str(10**400), "2"],
        [],
    ]
    assert lists_of(pd.Series([["a", 1]])) == [["a", "1"]]
    assert lists_of(pd.Series([2**64 - 1, NAN, None, -1], dtype=object)) == [["18446744073709551615"], [], [], ["-1"]]
    assert lists_of(pd.Series([1.0, NAN])) == [["1"], []]
    assert lists_of(pd.Series([0.1, NAN], dtype="float32")) == [["0.1"], []]
    assert lists_of(pd.Series([0.1, NAN], dtype="float16")) == [["0.1"], []]
    assert lists_of(pd.Series([np.array([0.1, 2], np.float32), None])) == [["0.1", "2"], []]
    for type_ in (pa.float16(), pa.float32(), pa.float64()):
        assert lists_of(pa.chunked_array([pa.array([[0.1, 2], None], pa.list_(type_))])) == [["0.1", "2"], []]
    assert lists_of(pd.Series(["a|b"], dtype="category")) == [["a", "b"]]
    assert lists_of(pa.chunked_array([pa.array([["a", "b"], None], pa.list_(pa.string(), 2))])) == [["a", "b"], []]
    assert lists_of(pa.chunked_array([pa.nulls(2)])) == [[], []]
    assert lists_of(pd.Series([*sorted(MISSING_TEXTS)])) == [[]] * len(MISSING_TEXTS)


@pytest.mark.parametrize(
    "lists",
    [
        pa.ListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int32()), pa.array(list("abcdef")), mask=SECOND),
        pa.LargeListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int64()), pa.array(list("abcdef")), mask=SECOND),
        pa.FixedSizeListArray.from_arrays(pa.array(list("abcdef")), 2, mask=SECOND),
    ],
    ids=lambda lists: str(lists.type),
)
def test_a_missing_list_may_stand_over_values(lists: pa.Array) -> None:
    assert lists_of(pa.chunked_array([lists])) == [["a", "b"], [], ["e", "f"]]
    assert lists_of(pa.chunked_array([lists.slice(1)])) == [[], ["e", "f"]]


@pytest.mark.parametrize("values", [["a|b", ["c"]], [["a", {}]], ["a\ud800"]])
def test_cells_that_are_no_lists_are_an_error(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"column 'c' must hold texts or lists of them.*write each cell in one way"):
        lists_of(pd.Series(values, dtype=object))
    with pytest.raises(DataError, match="column 'c' must hold one value"):
        lists_of(pd.Series([[["a"]]]))


@pytest.mark.parametrize("type_", [pa.struct({"a": pa.string()}), pa.list_view(pa.string()), pa.map_("str", "str")])
def test_a_type_that_is_no_list_is_an_error(type_: pa.DataType) -> None:
    nested = pa.nulls(2, type_)
    for column in (pa.chunked_array([nested]), pd.Series(nested, dtype=pd.ArrowDtype(type_)), pd.Series([{"a": "b"}])):
        with pytest.raises(
            DataError, match=r"column 'c' must hold texts or lists of them, but its type is .*: convert"
        ):
            lists_of(column)


@pytest.mark.parametrize("moment", [pd.Timestamp("2024-01-01"), datetime(2024, 1, 1), date(2024, 1, 1)])
def test_a_moment_is_no_list(moment: Any) -> None:
    for column in (pd.Series([moment, None]), pd.Series([moment], dtype=object), pd.Series([[moment]])):
        with pytest.raises(DataError, match=r"column 'c' is of type .*, and moments are no categories: write"):
            lists_of(column)
    assert lists_of(pd.Series([pd.NaT, None], dtype=object)) == [[], []]


def test_bytes_are_no_lists() -> None:
    for column in (pd.Series([b"a|b"]), pd.Series([[b"a"]]), pa.chunked_array([pa.array([b"a"])])):
        with pytest.raises(DataError, match=r"column 'c' is of type binary, and bytes are no categories: decode"):
            lists_of(column)
