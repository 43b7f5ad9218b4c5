"""Moments that are written as texts, and the formats that say how."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator

from nasrec_automl.data.values import MISSING_TEXTS, RawColumn, whole_number
from nasrec_automl.errors import DataError

_START = pd.Timestamp(0, tz="UTC").as_unit("us")  # nanoseconds, the default, end in 2262


def _is_a_format(form: str) -> str:
    if form in ("number", "ISO8601"):
        return form
    expected = f"expected number, ISO8601, or a format of strptime such as %d.%m.%Y %H:%M, but {form!r} came"
    if "%" not in form.replace("%%", ""):  # pandas takes any text, and `mixed` guesses row by row
        raise ValueError(expected)
    try:
        pd.to_datetime([], format=form)
    except (ValueError, re.error) as error:
        raise ValueError(f"{expected} ({error})") from None
    return form


MomentFormat = Annotated[str, AfterValidator(_is_a_format)]
"""`number`, `ISO8601`, or a format of `strptime` such as `%d.%m.%Y %H:%M`. Moments without a time zone are UTC."""


def parsed(texts: pd.Series[Any], form: str) -> pd.Series[pd.Timestamp]:
    """Parse moments in a form of `strptime`, or ISO8601; wrong ones become NaT. What is a moment already stays it."""
    fixed = texts.mask(texts.isin(("now", "today")))  # pandas takes these words for the moment of reading
    return pd.to_datetime(fixed, format=form, utc=True, errors="coerce")


def seconds(moments: pd.Series[pd.Timestamp]) -> NDArray[np.float64]:
    """Return seconds since 1970, NaN for NaT."""
    return np.asarray((moments - _START) / pd.Timedelta(seconds=1), dtype=np.float64)


def moments_of(column: RawColumn, form: str, name: str) -> pd.Series[pd.Timestamp]:
    """Read a user's column, of texts in a format or of moments.

    Args:
        column: B raw values.
        form: their format, not `number`.
        name: of the column, for messages.

    Returns:
        `(B,)`, NaT for missing.

    Raises:
        DataError: something else than such a moment; names the first such row.
    """
    raw = column.to_pandas() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(raw.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(raw.dtype):
        return pd.to_datetime(raw, utc=True)
    values = raw.astype(object)
    texts = values.map(lambda value: value if isinstance(value, date) else str(value).strip())
    if form != "ISO8601" and "." not in form:  # a column of floats writes digits such as 20240531 with a fraction
        texts = texts.map(lambda value: whole_number(value) if isinstance(value, str) else value)
    missing = (values.isna() | texts.isin(MISSING_TEXTS)).to_numpy(dtype=bool)
    made = parsed(texts.mask(missing), form)
    wrong = np.flatnonzero(made.isna().to_numpy(dtype=bool) & ~missing)
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"column {name!r} must hold times of the format {form}, but row {row + 1} (the first is 1) holds "
            f"{str(raw.iloc[row])!r}: correct it, or leave it empty for missing"
        )
    return made
