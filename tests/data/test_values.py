from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nasrec_automl.data.values import MISSING_TEXTS, canonical_text, categories, numbers, percent
from nasrec_automl.errors import DataError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (np.int64(12), "12"),
        (12.0, "12"),
        (np.float32(16777216), "16777216"),
        ("12", "12"),
        (" 0012.00 ", "12"),
        (-0.0, "0"),
        ("-5", "-5"),
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (0.1 + 0.2, "0.3"),
        ("1.50", "1.5"),
        ("1e+3", "1000"),
        ("1.5E-05", "1.5e-05"),
        ("1.2345678E7", "12345678"),
        (1e30, "1e+30"),
        ("12e4", "12e4"),
        ("0e123456", "0e123456"),
        ("18446744073709551615", "18446744073709551615"),
        (np.uint64(18446744073709551615), "18446744073709551615"),
        (True, "True"),
        ("TRUE", "True"),
        ("1e999", "1e999"),
        ("٣", "٣"),
        ("a\ud800", "a?"),
        ("T8H1N", "T8H1N"),
    ],
)
def test_a_category_has_one_text(value: object, text: str) -> None:
    assert canonical_text(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, *sorted(MISSING_TEXTS), r"\N", "  "])
def test_missing_has_no_text(value: object) -> None:
    assert canonical_text(value) is None


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_categories_know_missing_values_of_any_type(dtype: str) -> None:
    codes, texts = categories(pd.Series(["b", None, "a", "b"], dtype=dtype), "x")
    assert [texts[code] if code >= 0 else None for code in codes] == ["b", None, "a", "b"]


@pytest.mark.parametrize("type_", [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.int8()])
def test_a_dictionary_may_have_an_index_of_any_type(type_: pa.DataType) -> None:
    column = pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([1, None, 0], type_), pa.array(["a", "b"]))])
    codes, texts = categories(column, "x")
    assert (codes.tolist(), texts, codes.dtype) == ([1, -1, 0], ["a", "b"], np.int64)


@pytest.mark.parametrize("kind", [list, tuple, frozenset])
def test_several_values_in_a_cell_are_an_error(kind: type) -> None:
    with pytest.raises(DataError, match="'tags' must hold one value a row"):
        categories(pd.Series([kind(["a", "b"]), kind(["c"])]), "tags")


@pytest.mark.parametrize("type_", [pa.list_(pa.string()), pa.list_view(pa.string()), pa.struct({"a": pa.string()})])
def test_several_values_of_an_arrow_type_are_an_error_in_a_frame_too(type_: pa.DataType) -> None:
    nested = pa.nulls(2, type_)
    for column in (pa.chunked_array([nested]), pd.Series(nested, dtype=pd.ArrowDtype(type_))):
        with pytest.raises(DataError, match=r"'tags' must hold one value a row, .* several \(its type is "):
            categories(column, "tags")


@pytest.mark.parametrize("dtype", ["datetime64[us]", "datetime64[ns, UTC]", "category", "date32[pyarrow]", "table"])
def test_moments_are_no_categories(dtype: str) -> None:
    moments = pd.Series(pd.to_datetime(["2024-01-01", None], utc="UTC" in dtype))
    table = pa.chunked_array([pa.array(moments)])
    for column in (table, table.dictionary_encode()) if dtype == "table" else (moments.astype(dtype),):
        with pytest.raises(DataError, match=r"column 'day' is of type .*, and moments are no categories: write"):
            categories(column, "day")


@pytest.mark.parametrize(
    "moment", [pd.Timestamp("2024-01-01"), datetime(2024, 1, 1), date(2024, 1, 1), np.datetime64("2024-01-01")]
)
@pytest.mark.parametrize("dtype", ["object", "category"])
def test_moments_among_other_values_are_no_categories(moment: object, dtype: Any) -> None:
    column = pd.Series(["monday", None, moment], dtype=object).astype(dtype)
    with pytest.raises(DataError, match=r"column 'day' holds a value of type .*, and moments are no categories: write"):
        categories(column, "day")
    assert categories(pd.Series(["monday", pd.NaT], dtype=object).astype(dtype), "day")[1] == ["monday"]


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view()])
def test_bytes_are_no_categories(type_: pa.DataType) -> None:
    table = pa.chunked_array([pa.array([b"7", None], type_)])
    frames = (pd.Series(table, dtype=pd.ArrowDtype(type_)), pd.Series([b"7"]), pd.Series(["a", b"7"], dtype="category"))
    for column in (table, table.cast(pa.binary()).dictionary_encode(), *frames):
        with pytest.raises(DataError, match=r"column 'shop' .* of type .*, and bytes are no categories: decode them"):
            categories(column, "shop")


def test_numbers_read_text_and_missing() -> None:
    read = numbers(pd.Series(["1", " 2.5 ", "", None, "NA", r"\N", "-3e2"]), "x")
    np.testing.assert_array_equal(read, [1, 2.5, *[np.nan] * 4, -300])
    np.testing.assert_array_equal(numbers(pd.Series([1, None], dtype="Int64"), "x"), [1, np.nan])
    np.testing.assert_array_equal(numbers(pd.Series([True, False]), "x"), [1, 0])


@pytest.mark.parametrize(
    ("values", "row", "shown", "kind"),
    [
        (["1", "", "many"], 3, "'many'", "numbers"),
        (["0x1A", "2"], 1, "'0x1A'", "numbers"),
        ([1.0, float("inf")], 2, "'inf'", "finite numbers within"),
        ([None, 1e300], 2, "'1e", r"finite numbers within \+-3.4e\+38 \(float32\)"),
        (["1", "1e300"], 2, "'1e300'", "finite numbers within"),
        (["1", None, -(10**400)], 3, "'-1000", "finite numbers within"),
        (pd.to_datetime(["2020-01-01"]), 1, "'2020-01-01", "numbers"),
    ],
)
def test_what_is_no_number_is_named(values: object, row: int, shown: str, kind: str) -> None:
    column = pd.Series(values, index=range(7, 7 + len(values)))  # type: ignore[call-overload,arg-type]
    with pytest.raises(DataError, match=rf"column 'price' must hold {kind}.*, but row {row} .* holds {shown}"):
        numbers(column, "price")


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.5, 1, "50.0%"),
        (0.01, 1, "1.0%"),
        (0.0042, 1, "0.42%"),
        (0.00042, 2, "0.042%"),
        (0.0312, 2, "3.12%"),
        (0.0, 3, "0.000%"),
        (1.0, 2, "100.00%"),
    ],
)
def test_a_small_share_keeps_two_digits(share: float, decimals: int, text: str) -> None:
    assert percent(share, decimals) == text
