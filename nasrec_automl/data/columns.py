"""How raw columns become number features and other columns; saved with the model as values, not as code."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nasrec_automl.data.values import FLOAT32_MAX, numbers

Transform = Literal["log", "standardise", "none"]


class Value(BaseModel):
    """What all column descriptions share: they never change and know no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DenseColumn(Value):
    """A number feature. A missing value is 0 after the transform.

    Attributes:
        name: raw or derived column.
        transform: `log` is log(1 + max(0, x)), `standardise` is (x - mean) / std, `none` keeps x.
        mean: of the training rows, for `standardise`.
        std: of the training rows, for `standardise`.
    """

    name: str
    transform: Transform
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0

    @classmethod
    def fit(cls, column: pd.Series[Any], name: str, transform: Transform) -> Self:
        """Learn the column's mean and deviation where the transform needs them."""
        if transform != "standardise":
            return cls(name=name, transform=transform)
        values = numbers(column)
        known = values[~np.isnan(values)]
        if not known.size:
            return cls(name=name, transform=transform)
        # The deviation of a constant is 0, or rounding noise: neither may be divided by.
        std = float(known.std()) if np.ptp(known) > 0 else 0.0
        return cls(name=name, transform=transform, mean=float(known.mean()), std=std or 1.0)

    def apply(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        """Transform raw values `(B,)` into finite numbers `(B,)`."""
        values = numbers(column)
        if self.transform == "log":
            values = np.log1p(np.maximum(values, 0.0))
        elif self.transform == "standardise":
            values = (values - self.mean) / self.std
        return np.clip(np.nan_to_num(values, nan=0.0), -FLOAT32_MAX, FLOAT32_MAX)


class DerivedColumn(Value):
    """A column computed from a raw one before anything else reads it.

    Attributes:
        name: name of the new column.
        source: the raw column.
        kind: `hour` (0-23) and `weekday` (0 is Monday) of seconds since 1970 in UTC; `stamp_hour` and `stamp_weekday`
            of YYMMDDHH; `decade` rounds to tens, downwards.
    """

    name: str
    source: str
    kind: Literal["hour", "weekday", "decade", "stamp_hour", "stamp_weekday"]

    def apply(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        """Compute the new column `(B,)`, NaN where the source is missing."""
        values = numbers(column)
        if self.kind == "hour":
            return values // 3600 % 24
        if self.kind == "weekday":
            # 1970-01-01 was a Thursday.
            return (values // 86400 + 3) % 7
        if self.kind == "stamp_hour":
            return values % 100
        if self.kind == "stamp_weekday":
            return _weekday_of_stamp(values)
        return values // 10 * 10


def _weekday_of_stamp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weekday, 0 for Monday, of each YYMMDDHH; NaN where there is no such day."""
    stamps, positions = np.unique(values, return_inverse=True)
    return np.array([_weekday(stamp) for stamp in stamps], dtype=np.float64)[positions]


def _weekday(stamp: float) -> float:
    try:
        day = int(stamp) // 100
        return date(2000 + day // 10000, day // 100 % 100, day % 100).weekday()
    except ValueError:
        return np.nan
