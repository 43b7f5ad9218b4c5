"""How raw columns become number features and other columns; saved with the model as values, not as code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nasrec_automl.data.moments import MomentFormat, moments_of, seconds
from nasrec_automl.data.values import FLOAT32_MAX, RawColumn, numbers
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen

Transform = Literal["log", "standardise", "quantile", "none"]

QUANTILE_VALUES = 1_000_000  # training values that quantiles are learned of, evenly spaced where there are more
_KNOTS = 1001
# In the year 5138; milliseconds, and whatever is finer, have been above it since 1973.
LAST_SECOND = 1e11
"""What is further from 1970 is no time in seconds."""


class DenseOptions(Frozen):
    """How a number feature is made. A plain transform's name stands for it in files.

    Attributes:
        transform: `log` is log(1 + max(0, x)), `standardise` is (x - mean) / std, `quantile` the share of training
            values below x, from -1 to 1, `none` keeps x.
        flag_missing: whether a second feature says 1 where the value is missing.
    """

    transform: Transform = "log"
    flag_missing: bool = False

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value is None:
            return {}
        return {"transform": value} if isinstance(value, str) else value


class DenseColumn(DenseOptions):
    """A number feature. A missing value is 0 after the transform: of `standardise` the mean, of `quantile` the median.

    Attributes:
        name: raw or derived column.
        mean: of the training rows, for `standardise`.
        std: of the training rows, for `standardise`.
        knots: values of the training rows, ascending, for `quantile`; between them it is linear.
        levels: what `quantile` makes of each knot.
    """

    name: str
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _knots_have_levels(self) -> Self:
        if len(self.knots) != len(self.levels):
            raise ValueError(f"each knot needs a level, but there are {len(self.knots)} and {len(self.levels)}")
        return self

    @classmethod
    def learn(cls, name: str, options: DenseOptions, training: Iterable[NDArray[np.float64]], rows: int) -> Self:
        """Learn what the transform needs.

        Args:
            name: of the column.
            options: what to make of it.
            training: values of the training rows in order, NaN for missing, in pieces; read at most once.
            rows: number of the training rows.
        """
        asked = options.model_dump()
        if options.transform == "standardise":
            mean, std = _moments(training)
            return cls(name=name, mean=mean, std=std, **asked)
        if options.transform == "quantile":
            knots, levels = _quantiles(_spaced(training, rows))
            return cls(name=name, knots=tuple(knots.tolist()), levels=tuple(levels.tolist()), **asked)
        return cls(name=name, **asked)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what is made of the column."""
        return (self.name, f"{self.name}_missing") if self.flag_missing else (self.name,)

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform values `(B,)`, NaN for missing, into finite numbers `(B, len(features))`."""
        if self.transform == "log":
            made = np.maximum(values, 0.0)
            np.log1p(made, out=made)
        elif self.transform == "quantile":
            made = np.interp(values, self.knots, self.levels) if self.knots else np.zeros(len(values))
        else:
            made = (values - self.mean) / self.std if self.transform == "standardise" else values
            made = np.clip(made, -FLOAT32_MAX, FLOAT32_MAX)
        missing = np.isnan(values)
        made[missing] = 0.0
        return np.column_stack([made, missing]) if self.flag_missing else made[:, None]


def _moments(pieces: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Return mean and deviation of what is not missing, pieces joined as by Chan et al. (1979, equation 1.5)."""
    count, mean, squares = 0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for piece in pieces:
        known = piece[~np.isnan(piece)]
        if not known.size:
            continue
        low, high = min(low, float(known.min())), max(high, float(known.max()))
        step = float(known.mean()) - mean
        together = count + known.size
        squares += float(known.var()) * known.size + step * step * (count * known.size / together)
        mean += step * (known.size / together)
        count = together
    # The deviation of a constant is 0, or rounding noise: neither may be divided by.
    std = float(np.sqrt(squares / count)) if high > low else 0.0
    return mean, std or 1.0


def _spaced(pieces: Iterable[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """Return every so-many-th value, as many as `QUANTILE_VALUES`, without the missing ones."""
    step = max(1, -(-rows // QUANTILE_VALUES))
    kept, done = [np.empty(0)], 0
    for piece in pieces:
        kept.append(piece[-done % step :: step].copy())  # a view would keep the whole piece in memory
        done += len(piece)
    values = np.concatenate(kept)
    return values[~np.isnan(values)]


def _quantiles(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distinct quantiles of some values, and the level of each: of a frequent value the middle of its levels."""
    if not values.size:
        return np.empty(0), np.empty(0)
    levels = np.linspace(-1.0, 1.0, _KNOTS)
    knots, which = np.unique(np.quantile(values, (levels + 1) / 2), return_inverse=True)
    return knots, np.bincount(which, levels) / np.bincount(which)


class DerivedColumn(Frozen):
    """A column computed from a raw one before anything else reads it.

    Attributes:
        name: name of the new column.
        source: the raw column.
        kind: `hour` (0-23) and `weekday` (0 is Monday) of a moment, in UTC; `stamp_hour` and `stamp_weekday` of
            YYMMDDHH; `decade` rounds to tens, downwards.
        format: of moments; `number` is seconds since 1970.
    """

    name: str
    source: str
    kind: Literal["hour", "weekday", "decade", "stamp_hour", "stamp_weekday"]
    format: MomentFormat = "number"

    @model_validator(mode="after")
    def _moments_have_formats(self) -> Self:
        if self.format != "number" and not self.of_moments:
            raise ValueError(f"{self.kind} is made of numbers, and takes no format: take hour or weekday")
        return self

    @property
    def of_moments(self) -> bool:
        """Whether it is made of moments."""
        return self.kind in ("hour", "weekday")

    def apply(self, column: RawColumn) -> NDArray[np.float64]:
        """Compute the new column `(B,)`, NaN where the source is missing, or a stamp of no moment.

        Raises:
            DataError: the source holds text where numbers should be, milliseconds where seconds should be, or what is
                no moment of the format.
        """
        if self.format != "number":
            values = seconds(moments_of(column, self.format, self.source))
        else:
            values = numbers(column, self.source)
            if self.of_moments:
                self._check_seconds(values)
        if self.kind == "hour":
            return values // 3600 % 24
        if self.kind == "weekday":
            # 1970-01-01 was a Thursday.
            return (values // 86400 + 3) % 7
        if self.kind == "stamp_hour":
            return _of_stamps(values, lambda moment: moment.hour)
        if self.kind == "stamp_weekday":
            return _of_stamps(values, datetime.weekday)
        return values // 10 * 10

    def _check_seconds(self, values: NDArray[np.float64]) -> None:
        wrong = np.flatnonzero(np.abs(values) > LAST_SECOND)
        if wrong.size:
            raise DataError(
                f"derived column {self.name!r}: {self.kind} is made of seconds since 1970, but {self.source!r} holds "
                f"{values[wrong[0]]:.0f}, as milliseconds are: divide the column by 1000, or leave {self.name!r} out"
            )


def _of_stamps(values: NDArray[np.float64], part: Callable[[datetime], int]) -> NDArray[np.float64]:
    """Return a part of the moment that each YYMMDDHH is; NaN where there is no such moment."""
    stamps, positions = np.unique(values, return_inverse=True)
    moments = map(_moment, stamps.tolist())
    return np.array([np.nan if moment is None else part(moment) for moment in moments], dtype=np.float64)[positions]


def _moment(stamp: float) -> datetime | None:
    try:
        day, hour = divmod(int(stamp), 100)
        return datetime(2000 + day // 10000, day // 100 % 100, day % 100, hour, tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter of a number that is no stamp at all, such as nanoseconds
        return None
