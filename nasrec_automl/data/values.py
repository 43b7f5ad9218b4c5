"""One reading of a raw value, whatever type it arrived with.

Training may see a column as integers and serving as text, or as floats because one was missing. Every column
goes through here first, so that such differences never change a feature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, time, timedelta
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nasrec_automl.errors import DataError

RawColumn: TypeAlias = "pd.Series[Any] | pa.ChunkedArray"
"""B raw values: of a frame, or of a reader's table."""

# What `pandas.read_csv` takes for missing by default; missing here too, for a frame and its CSV must agree. Beside it
# what Hive, MySQL and PostgreSQL write for NULL.
MISSING_TEXTS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", r"\N"),
    )
)
_OF_FLOATS = re.compile(r"-?\d+\.0", re.ASCII)
_INTEGER = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?", re.ASCII)
DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# `12e4` may be a code. What writes floats gives the exponent a sign, or (Java) the mantissa one digit and a point.
_FLOAT = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]\d+)?|[1-9]\.\d+e\d+)", re.ASCII | re.IGNORECASE)
# Above it a float64 no longer tells neighbouring integers apart.
_EXACT_LIMIT = 2.0**53
FLOAT32_MAX = float(np.finfo(np.float32).max)
_MOMENTS = (date, time, timedelta, np.datetime64, np.timedelta64, pd.Period)  # a datetime and a pd.Timestamp are dates
_BYTES = (bytes, bytearray, memoryview)
_ARE_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)


def percent(share: float, decimals: int = 1) -> str:
    """Write a share with so many decimals, or with two digits where those would be too few of it.

    Example:
        >>> [percent(share) for share in (0.2512, 0.00042, 0.0)]
        ['25.1%', '0.042%', '0.0%']
    """
    return f"{share:.{decimals}%}" if share == 0 or share >= 10 ** -(decimals + 1) else f"{100 * share:.2g}%"


def whole_number(text: str) -> str:
    """Write a whole number without the fraction that a column of floats gives it; any other text as it is.

    Example:
        >>> [whole_number(text) for text in ("-1.0", "2", "v1.0")]
        ['-1', '2', 'v1.0']
    """
    return text.removesuffix(".0") if _OF_FLOATS.fullmatch(text) else text


def canonical_text(value: object) -> str | None:
    """Write a category as the text that it is compared by.

    Whole numbers lose leading zeros and a fraction of zeros, other numbers keep 15 digits (what survives any
    parser) and may have an exponent as programs write it, booleans are capitalised. Integers above 2**53 are exact
    if they arrive as integers or text.

    Returns:
        The text, or None for a missing value.

    Example:
        >>> [canonical_text(value) for value in (12, 12.0, "012", " a ", float("nan"), None)]
        ['12', '12', '12', 'a', None, None]
    """
    if value is None:
        return None
    text = str(value).strip()
    if text in MISSING_TEXTS:
        return None
    if whole := _INTEGER.fullmatch(text):
        sign, digits = whole.groups()
        return f"-{digits}" if sign == "-" and digits != "0" else digits
    if _FLOAT.fullmatch(text):
        number = float(text)
        if abs(number) < _EXACT_LIMIT and number.is_integer():
            return str(int(number))
        # 1e999 is beyond a float: it stays the text it is.
        return f"{number:.15g}" if np.isfinite(number) else text
    if text.lower() in ("true", "false"):
        return text.capitalize()
    # Broken encoding arrives as lone surrogates, which neither JSON nor the hash can hold.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def categories(column: RawColumn, name: str) -> tuple[NDArray[np.int64], list[str | None]]:
    """Factorise a column, so that Python looks at each distinct value once and NumPy at the rows.

    Args:
        column: B raw values of any single type or several.
        name: of the column, for messages.

    Returns:
        Positions `(B,)` into the list that follows, -1 for missing; the canonical text of each distinct raw
        value. Two raw values may share one text.

    Raises:
        DataError: a cell holds a list or another value that is not a single one, or a moment, or bytes.
    """
    if isinstance(column, pa.ChunkedArray):
        check_type(column.type, name)
        encoded = pc.dictionary_encode(column).combine_chunks()
        encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
        codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy()  # an unsigned index holds no -1
        if pa.types.is_integer(encoded.dictionary.type):  # their texts are canonical
            return codes, encoded.dictionary.cast(pa.string()).to_pylist()
        distinct = encoded.dictionary
        values = float_texts(distinct) if pa.types.is_floating(distinct.type) else distinct
        return codes, [canonical_text(value) for value in values.to_pylist()]
    check_type(column.cat.categories.dtype if column.dtype == "category" else column.dtype, name)
    try:
        codes, found = pd.factorize(column)
    except TypeError as error:
        raise _several(name, str(error)) from None
    array = np.asarray(found)
    if array.dtype.kind != "f":
        _check_values(found, name)
        return codes.astype(np.int64), [canonical_text(value) for value in found]
    # pandas factorises float16 as float32, and gives both out as Python's floats.
    own = np.float16 if column.dtype == np.float16 else array.dtype
    return codes.astype(np.int64), [canonical_text(value) for value in array.astype(own)]


def check_type(type_: Any, name: str) -> None:
    """Raise DataError where values of a type, one of Arrow or of a frame, are no categories."""
    type_ = type_.pyarrow_dtype if isinstance(type_, pd.ArrowDtype) else type_
    if not isinstance(type_, pa.DataType):
        if type_.kind in "mM":
            raise _no_moments(name, f"is of type {type_}")
        return
    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    if pa.types.is_nested(type_):
        raise _several(name, f"its type is {type_}")
    if pa.types.is_temporal(type_):
        raise _no_moments(name, f"is of type {type_}")
    if any(is_bytes(type_) for is_bytes in _ARE_BYTES):
        raise _no_bytes(name, f"is of type {type_}")


def _check_values(values: Iterable[object], name: str) -> None:
    """Raise DataError where single objects are what `check_type` refuses."""
    for type_ in {type(value) for value in values}:
        if issubclass(type_, _MOMENTS):
            raise _no_moments(name, f"holds a value of type {type_.__name__}")
        if issubclass(type_, (tuple, frozenset)):  # a list cannot come here: pandas counts what can be hashed
            raise _several(name, f"a {type_.__name__}")
        if issubclass(type_, _BYTES):
            raise _no_bytes(name, f"holds a value of type {type_.__name__}")


def _no_moments(name: str, how: str) -> DataError:
    # A day may be written with and without its hours.
    return DataError(
        f"column {name!r} {how}, and moments are no categories: write them as texts, in the form that the "
        "training rows have"
    )


def _no_bytes(name: str, how: str) -> DataError:
    return DataError(f"column {name!r} {how}, and bytes are no categories: decode them to texts")


def float_texts(array: pa.Array) -> pa.Array:
    """Write each float in as few digits as its own type needs, as CSV has it: a float32 as 0.1, not 0.10000000149."""
    encoded = array.dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    return pa.array([str(value) for value in distinct], pa.string()).take(encoded.indices)


def _several(name: str, how: str) -> DataError:
    return DataError(
        f"column {name!r} must hold one value a row, but some rows hold several ({how}): "
        "give each its own column, or declare the column as multi-valued with max_values"
    )


def _limited(value: object) -> object:
    return np.inf if isinstance(value, int) and abs(value) > FLOAT32_MAX else value


def numbers(column: RawColumn, name: str) -> NDArray[np.float64]:
    """Read a column as numbers.

    Args:
        column: B raw values.
        name: of the column, for messages.

    Returns:
        `(B,)`, NaN for missing. Everything else is finite in float32 as well.

    Raises:
        DataError: text, a date or an infinite number where a number should be; names the first such row.
    """
    if isinstance(column, pa.ChunkedArray):
        if pa.types.is_integer(column.type):
            whole: NDArray[np.float64] = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
            return whole
        column = column.to_pandas()
    result: NDArray[np.float64]
    if pd.api.types.is_numeric_dtype(column.dtype):
        result = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        try:
            parsed = pd.to_numeric(column.astype(object), errors="coerce")
        except OverflowError:  # an integer that no float holds
            parsed = pd.to_numeric(column.astype(object).map(_limited), errors="coerce")
        result = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    # One comparison finds NaN and infinity alike.
    suspects = np.flatnonzero(~(np.abs(result) <= FLOAT32_MAX))
    if not suspects.size:
        return result
    suspects = suspects[~column.iloc[suspects].isna().to_numpy(dtype=bool)]
    wrong = suspects[~column.iloc[suspects].astype(str).str.strip().isin(MISSING_TEXTS).to_numpy(dtype=bool)]
    if wrong.size:
        row = int(wrong[0])
        kind, advice = "numbers", ", or declare the column as categorical"
        if not np.isnan(result[row]):
            kind, advice = f"finite numbers within +-{FLOAT32_MAX:.1e} (float32)", ""
        raise DataError(
            f"column {name!r} must hold {kind}, but row {row + 1} (the first is 1) holds {str(column.iloc[row])!r}: "
            f"correct it, or leave it empty for missing{advice}"
        )
    return result
