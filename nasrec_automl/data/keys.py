"""Categories as 64-bit keys, which preparation counts and looks up in bounded memory; 0 is missing.

Of a column whose values are 8 hex digits the key is the number, plus 1. Of any other it is a keyed hash of the
canonical text. Two texts with one key would be one category: of ten million, with a chance of about 3 in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nasrec_automl.data.values import MISSING_TEXTS, RawColumn, categories, check_type, float_texts
from nasrec_automl.errors import DataError

# pandas.util.hash_array wants 16 bytes. Another key, or another hash, would break every saved model.
_HASH_KEY = "nasrec-automl/v1"
HEX_DIGITS = b"0123456789abcdef"
_MISSING = pa.array(sorted(MISSING_TEXTS))


@dataclass(frozen=True)
class Keys:
    """The keys of a column.

    Attributes:
        keys: `(B,)`, or `(B, K)` of a multi-valued column.
        distinct: `(U,)` keys among them whose texts follow; may repeat. Empty where a key is made of a hex number
            alone, from which the text can be made again.
        texts: U texts.
    """

    keys: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    texts: list[str]


def text_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Hash canonical texts to keys `(U,)`."""
    words = np.array(texts, dtype=object)
    hashed: NDArray[np.uint64] = pd.util.hash_array(words, hash_key=_HASH_KEY, categorize=False).astype(np.uint64)
    return np.maximum(hashed, np.uint64(1))


def keys_of_any(column: RawColumn, name: str) -> Keys:
    """Return the keys of values of any type.

    Raises:
        DataError: a cell holds a list or another value that is not a single one.
    """
    codes, texts = categories(column, name)
    known = np.array([text is not None for text in texts], dtype=bool)
    words = [text for text in texts if text is not None]
    distinct = text_keys(words)
    of_codes = np.zeros(len(texts) + 1, dtype=np.uint64)  # the last entry answers code -1, missing
    of_codes[:-1][known] = distinct
    return Keys(of_codes[codes], distinct, words)


def keys_of_hex(column: RawColumn, name: str, *, checked: bool = False) -> Keys:
    """Return the keys of texts of 8 hex digits; an empty text is missing, and what stands for one.

    Args:
        column: B raw values.
        name: of the column, for messages.
        checked: whether their digits are known to be right.

    Raises:
        DataError: something else; names the first such row.
    """
    texts = _texts(column, name)
    if not checked:
        texts = pc.if_else(pc.is_in(texts, value_set=_MISSING), "", texts)
    if texts.null_count:
        texts = texts.fill_null("")  # Arrow lets a null stand over a text
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(places)
    known = lengths != 0
    count = int(np.count_nonzero(known))
    keys = np.zeros(len(texts), dtype=np.uint64)
    if count:
        content = np.frombuffer(data, np.uint8)[places[0] : places[-1]]
        right = checked or (
            np.count_nonzero(lengths == 8) == count and not content.tobytes().translate(None, HEX_DIGITS)
        )
        if len(content) != 8 * count or not right:
            raise DataError(_not_hex(texts, name))
        numbers = _decoded(content)
        numbers += np.uint64(1)
        keys[known] = numbers
    return Keys(keys, np.empty(0, dtype=np.uint64), [])


def hex_texts(keys: NDArray[np.uint64]) -> list[str]:
    """Return the texts whose keys `keys_of_hex` made."""
    shifts = np.arange(28, -4, -4, dtype=np.uint64)
    digits = np.frombuffer(HEX_DIGITS, np.uint8)[(keys[:, None] - np.uint64(1)) >> shifts & np.uint64(15)]
    texts: list[str] = digits.view("S8").ravel().astype("U8").tolist()
    return texts


def hex_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return the keys of texts of 8 hex digits."""
    return _decoded(np.frombuffer("".join(texts).encode("ascii"), np.uint8)) + np.uint64(1)


def _decoded(content: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the numbers `(n,)` that 8 n hex digits stand for, eight bytes of a word at a time."""
    words = np.frombuffer(content, "<u8")  # the first digit is in the lowest byte
    other = words >> np.uint64(6)
    other &= np.uint64(0x0101010101010101)  # of a to f
    other *= np.uint64(9)
    numbers = words & np.uint64(0x0F0F0F0F0F0F0F0F)
    numbers += other
    for shift, mask in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0xFFFFFFFF)):
        np.right_shift(numbers, np.uint64(2 * shift), out=other)
        numbers <<= np.uint64(shift)
        numbers |= other
        numbers &= np.uint64(mask)
    return numbers


def keys_of_lists(column: RawColumn, name: str, separator: str, most: int) -> Keys:
    """Return the keys of a multi-valued column: texts with a separator, or lists.

    Args:
        column: B raw values.
        name: of the column, for messages.
        separator: between the values of a text.
        most: K; values beyond are left out.

    Returns:
        Keys `(B, K)`, in the order of the values, 0 after the last.

    Raises:
        DataError: a cell holds something else, or its values are moments or bytes.
    """
    lists = _lists(column, name, separator)
    values = lists.flatten()
    if pa.types.is_null(values.type):  # no list holds anything, which says no type
        values = values.cast(pa.string())
    inner = keys_of_any(pa.chunked_array([values]), name)
    # Arrow lets a null stand over values: `flatten` leaves those out, `list_parent_indices` does not.
    parents = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).fill_null(0).to_numpy())
    known = inner.keys != 0
    parents, found = parents[known], inner.keys[known]
    first = np.searchsorted(parents, parents)  # ascending
    place = np.arange(len(parents)) - first
    kept = place < most
    keys = np.zeros((len(lists), most), dtype=np.uint64)
    keys[parents[kept], place[kept]] = found[kept]
    return Keys(keys, inner.distinct, inner.texts)


def _lists(column: RawColumn, name: str, separator: str) -> pa.Array:
    values = column if isinstance(column, pa.ChunkedArray) else _from_pandas(column, name)
    array = values.combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return array
    if pa.types.is_null(array.type):
        return array.cast(pa.list_(pa.string()))
    if pa.types.is_nested(array.type) or isinstance(array.type, pa.BaseExtensionType):
        raise DataError(
            f"column {name!r} must hold texts or lists of them, but its type is {array.type}: convert it to one of them"
        )
    check_type(array.type, name)
    texts = float_texts(array) if pa.types.is_floating(array.type) else array.cast(pa.string())
    return pc.split_pattern(texts, separator)


def _from_pandas(column: Any, name: str) -> pa.ChunkedArray:
    try:
        try:
            array = pa.array(column, from_pandas=True)
        except (pa.ArrowException, OverflowError):  # such as for an integer of 64 bits without a sign
            array = pa.array(column.map(_numbers_as_texts), from_pandas=True)
        return pa.chunked_array([array])
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise DataError(
            f"column {name!r} must hold texts or lists of them, but some rows hold other values ({error}): "
            "write each cell in one way"
        ) from None


def _numbers_as_texts(cell: Any) -> Any:
    """Write a number, and those of a list, as the texts that they are compared by."""
    if isinstance(cell, list | tuple | np.ndarray):
        return [_numbers_as_texts(value) for value in cell]
    return str(cell) if isinstance(cell, int | float | np.number) else cell


def _texts(column: RawColumn, name: str) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        try:
            column = pa.chunked_array([pa.array(column, pa.string(), from_pandas=True)])
        except (pa.ArrowException, UnicodeEncodeError):
            for row, (value, known) in enumerate(zip(column, column.notna(), strict=True)):
                if known and not (isinstance(value, str) and value.isascii()):
                    raise DataError(
                        f"column {name!r} must hold texts of 8 hex digits, but row {row + 1} (the first is 1) holds "
                        f"{value!r}: read the column as text"
                    ) from None
            # A type without texts, in which each value is missing.
            column = pa.chunked_array([pa.nulls(len(column), pa.string())])
    texts = column.combine_chunks()
    texts = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
    return texts if texts.type == pa.string() else texts.cast(pa.string())


def _not_hex(texts: pa.Array, name: str) -> str:
    for row, text in enumerate(texts.to_pylist()):
        if text and (len(text) != 8 or set(text) - set(HEX_DIGITS.decode())):
            return (
                f"column {name!r} must hold 8 hex digits (0-9, a-f), but row {row + 1} (the first is 1) holds "
                f"{text!r}: correct it, or leave it empty for missing"
            )
    raise AssertionError("every text is right")
