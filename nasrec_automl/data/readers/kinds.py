"""What a field of a raw file may hold.

Each kind says it twice: for whole columns, as fast as Arrow reads them, and for one text, which decides. The first may
refuse what the second takes, but never takes what the second refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import LAST_SECOND, DerivedColumn
from nasrec_automl.data.keys import HEX_DIGITS
from nasrec_automl.data.moments import parsed
from nasrec_automl.data.values import DECIMAL, FLOAT32_MAX

SPACES = " \t"
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8}")
FOLD_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "False": 0, "True": 1, "FALSE": 0, "TRUE": 1}


@dataclass(frozen=True)
class Kind:
    """What the values of a column are.

    Attributes:
        reads: type that Arrow is to read the column as.
        makes: type of the checked column.
        convert: makes the checked column of what was read, or None if any value may be wrong. It keeps nulls.
        value: makes one checked value of a text that is not missing; a ValueError says what is wrong.
        stripped: whether spaces around the text mean nothing.
        values: makes values of several texts, None of a wrong one, where `value` would take long over each.
    """

    reads: pa.DataType
    makes: pa.DataType
    convert: Callable[[pa.Array], pa.Array | None]
    value: Callable[[str], Any]
    stripped: bool = True
    values: Callable[[Sequence[str]], list[Any]] | None = None


@dataclass(frozen=True)
class Column:
    """A column of a raw file.

    Attributes:
        name: of the column.
        kind: what it holds; None for a column that is left out.
        required: whether a row without a value is bad.
        lacking: what else to do about a file without the column than to add it.
    """

    name: str
    kind: Kind | None
    required: bool = False
    lacking: str = ""

    def knowing(self, texts: Iterable[str | None]) -> Column:
        """Return the column with the values of some texts computed in advance, where one by one would take long."""
        kind = self.kind
        if kind is None or kind.values is None:
            return self
        one = kind.value
        plain = sorted({text.strip(SPACES) for text in texts if text is not None})
        known = dict(zip(plain, kind.values(plain), strict=True))

        def value(text: str) -> Any:
            made = known.get(text)
            return one(text) if made is None else made

        return replace(self, kind=replace(kind, value=value))


def _same(array: pa.Array) -> pa.Array:
    return array


def _codes(codes: Mapping[str, int], wrong: str) -> Kind:
    """Return the kind of a few texts that stand for numbers."""

    def convert(array: pa.Array) -> pa.Array | None:
        found = pc.index_in(array, value_set=pa.array(list(codes)))
        if found.null_count != array.null_count:
            return None
        return pa.array(list(codes.values()), pa.uint8()).take(found)

    def value(text: str) -> int:
        if text not in codes:
            raise ValueError(wrong)
        return codes[text]

    return Kind(pa.string(), pa.uint8(), convert, value)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def value(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError("text where a whole number should be")
        # Python refuses to convert thousands of digits, even of leading zeros.
        digits = text.lstrip("-0") or "0"
        number = int(digits) if len(digits) <= 20 else 10**20
        number = -number if text.startswith("-") else number
        if not low <= number <= high:
            raise ValueError(f"a number outside {low} to {high}")
        return number

    return value


def _within(low: int, high: int) -> Callable[[pa.Array], pa.Array | None]:
    def convert(array: pa.Array) -> pa.Array | None:
        bounds = pc.min_max(array).as_py()
        inside = bounds["min"] is None or (bounds["min"] >= low and bounds["max"] <= high)
        return array if inside else None

    return convert


def _number_column(array: pa.Array) -> pa.Array | None:
    values = array.to_numpy(zero_copy_only=False)
    # One comparison finds NaN and infinity alike; a null is NaN here.
    right = np.count_nonzero(np.abs(values) <= FLOAT32_MAX)
    return array if right == len(array) - array.null_count else None


def _number(text: str) -> float:
    if not DECIMAL.fullmatch(text):
        raise ValueError("text where a number should be")
    number = float(text)
    if not abs(number) <= FLOAT32_MAX:
        raise ValueError("a number beyond float32")
    return number


def _weight_column(array: pa.Array) -> pa.Array | None:
    least = pc.min(array).as_py()
    return _number_column(array) if least is None or least >= 0 else None


def _weight(text: str) -> float:
    number = _number(text)
    if number < 0:
        raise ValueError("a weight below 0")
    return number


def _hex_column(array: pa.Array) -> pa.Array | None:
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    known = len(array) - array.null_count
    if places[-1] - places[0] != 8 * known or np.count_nonzero(np.diff(places) == 8) != known:
        return None
    digits = b"" if data is None else data.to_pybytes()[places[0] : places[-1]]
    return None if digits.translate(None, HEX_DIGITS) else array


def _hex(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ValueError("not 8 hex digits (0-9, a-f)")
    return text


def _hour_column(array: pa.Array) -> pa.Array | None:
    hours = array.drop_null().unique().to_pylist()
    try:
        for hour in hours:
            hour_seconds(hour)
    except ValueError:
        return None
    return array


def _hour(text: str) -> int:
    hour = _whole(0, 99_999_999)(text)
    hour_seconds(hour)
    return hour


def hour_seconds(hour: int) -> float:
    """Convert YYMMDDHH, in UTC, to seconds since 1970.

    Raises:
        ValueError: no such hour.
    """
    try:
        if not 10**6 <= hour < 10**8:
            raise ValueError
        date, hours = divmod(hour, 100)
        moment = datetime(2000 + date // 10000, date // 100 % 100, date % 100, hours, tzinfo=UTC)
    except ValueError:
        raise ValueError("an hour that is not YYMMDDHH") from None
    return moment.timestamp()


_MOMENT = pa.timestamp("us", "UTC")


def _instant(array: pa.Array, form: str) -> pa.Array:
    """Parse moments; wrong ones become null."""
    if form != "ISO8601" and "." not in form:  # a column of floats writes digits such as 20240531 with a fraction
        array = pc.replace_substring_regex(array, pattern=r"^(\d+)\.0$", replacement=r"\1")
    moments = parsed(pd.Series(array.to_pandas(), dtype=object), form)
    # As of a Parquet file's moments, what is below a microsecond is cut off.
    return pa.Array.from_pandas(moments, type=_MOMENT, safe=False)


def instant(form: str) -> Kind:
    """Return the kind of a moment in a form of `strptime`, or ISO8601."""

    def convert(array: pa.Array) -> pa.Array | None:
        made = _instant(array, form)
        return made if made.null_count == array.null_count else None

    def value(text: str) -> Any:
        moment = _instant(pa.array([text]), form)[0].as_py()
        if moment is None:
            raise ValueError(f"a time that is not {form}")
        return moment

    def values(texts: Sequence[str]) -> list[Any]:
        made: list[Any] = _instant(pa.array(texts, pa.string()), form).to_pylist()
        return made

    return Kind(pa.string(), _MOMENT, convert, value, values=values)


_INT64 = (-(2**63), 2**63 - 1)

LABEL = _codes(LABELS, "a label that is not 0 or 1")
FOLD = _codes(FOLD_NAMES, "a split that is not train, validation or test")
INTEGER = Kind(pa.int64(), pa.int64(), _same, _whole(*_INT64))
UNSIGNED = Kind(pa.uint64(), pa.uint64(), _same, _whole(0, 2**64 - 1))
COUNT = Kind(pa.int64(), pa.int64(), _within(0, 2**31), _whole(0, 2**31))
SMALL = Kind(pa.uint8(), pa.uint8(), _same, _whole(0, 255))
NUMBER = Kind(pa.float64(), pa.float64(), _number_column, _number)
WEIGHT = Kind(pa.float64(), pa.float64(), _weight_column, _weight)
HEX = Kind(pa.string(), pa.string(), _hex_column, _hex)
HOUR = Kind(pa.int64(), pa.int64(), _hour_column, _hour)
TEXT = Kind(pa.string(), pa.string(), _same, str, stripped=False)


def label_kind(values: tuple[str, str] | None) -> Kind:
    """Return the kind of a label; `values` are what stands for 0 and for 1, where that is something else."""
    if values is None:
        return LABEL
    negative, positive = values
    codes = {form: code for code, text in enumerate(values) for form in _label_forms(text)}
    return _codes(codes, f"a label that is neither {negative!r} nor {positive!r}")


def _label_forms(text: str) -> tuple[str, ...]:
    if _WHOLE.fullmatch(text):
        return text, f"{text}.0"  # as a column of floats has it
    if text.lower() in ("true", "false"):
        return text, text.lower(), text.capitalize()  # Parquet's booleans, and Python's
    return (text,)


def number_kind(name: str, derived: Iterable[DerivedColumn]) -> Kind:
    """Return the kind of a column that is no category: numbers, or the moments that hours or weekdays are made of."""
    made = [column for column in derived if column.source == name and column.of_moments]
    if not made:
        return NUMBER
    form = made[0].format
    return _seconds(" and ".join(repr(column.name) for column in made)) if form == "number" else instant(form)


def _seconds(made: str) -> Kind:
    def convert(array: pa.Array) -> pa.Array | None:
        bounds = pc.min_max(array).as_py()
        inside = bounds["min"] is None or (bounds["min"] >= -LAST_SECOND and bounds["max"] <= LAST_SECOND)
        return _number_column(array) if inside else None

    def value(text: str) -> float:
        number = _number(text)
        if abs(number) > LAST_SECOND:
            raise ValueError(
                f"a number beyond {LAST_SECOND:,.0f}, as milliseconds are, but seconds since 1970 make {made}: "
                f"divide the column by 1000, or prepare without {made}"
            )
        return number

    return replace(NUMBER, convert=convert, value=value)


def kind_of(field: CategoryFormat) -> Kind:
    """Return the kind of a categorical column; of a multi-valued one it makes lists."""
    if field.max_values is not None:
        return several(field.separator)
    return HEX if field.format == "hex" else TEXT


def several(separator: str) -> Kind:
    """Return the kind of several texts with a separator between them, which become a list."""
    return Kind(
        pa.string(),
        pa.list_(pa.string()),
        lambda array: pc.split_pattern(array, separator),
        lambda text: text.split(separator),
        stripped=False,
    )
