"""`statistics.json`: what preparation saw of the training rows' features, and of all rows over time. For the report."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data.categorical import Texts
from nasrec_automl.data.files import write_text
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.yaml_files import first_complaint

STATISTICS_FILE = "statistics.json"
_TOP = 10
_BINS = 50


class FieldStatistics(Frozen):
    """One categorical field in the training rows.

    Attributes:
        name: of the field.
        values: number of its values there; of a multi-valued field more or fewer than rows.
        missing: share of the rows without any.
        categories: number of distinct values.
        sizes: smallest number of occurrences, from 1 in powers of 2, and how many categories have at least so many.
        top: the most frequent values, each with its share of the values.
    """

    name: str
    values: int
    missing: float
    categories: int
    sizes: tuple[tuple[int, int], ...]
    top: tuple[tuple[str, float], ...]


class FieldCounter:
    """Counts one categorical field's values, a share of its categories at a time, of which it keeps the top ones.

    Attributes:
        values: number of values.
    """

    def __init__(self) -> None:
        self.values = 0
        self._categories = 0
        self._sizes = np.zeros(64, dtype=np.int64)  # by power of 2, categories that occur at least so often
        self._keys, self._counts = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)

    def add(self, keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        """Count a share of the categories `(U,)`, ascending, without missing; no category is in two shares."""
        if not len(keys):
            return
        self.values += int(counts.sum())
        self._categories += len(keys)
        for power in range(int(counts.max()).bit_length()):
            self._sizes[power] += np.count_nonzero(counts >= 2**power)
        top = _top(counts)
        keys, counts = np.concatenate([self._keys, keys[top]]), np.concatenate([self._counts, counts[top]])
        top = np.lexsort((keys, -counts))[:_TOP]
        self._keys, self._counts = keys[top], counts[top]

    def statistics(self, name: str, texts: Texts, *, rows: int, missing: int) -> FieldStatistics:
        """Describe the field, of which `missing` of `rows` rows have no value."""
        of_top = texts(self._keys) if len(self._keys) else []
        return FieldStatistics(
            name=name,
            values=self.values,
            missing=missing / max(1, rows),
            categories=self._categories,
            sizes=tuple((2**power, int(self._sizes[power])) for power in np.flatnonzero(self._sizes).tolist()),
            top=tuple((text, count / self.values) for text, count in zip(of_top, self._counts.tolist(), strict=True)),
        )


def _top(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of the largest counts, of equal ones the first; in any order."""
    if len(counts) <= _TOP:
        return np.arange(len(counts))
    least = np.partition(counts, -_TOP)[-_TOP]
    above = np.flatnonzero(counts > least)
    return np.concatenate([above, np.flatnonzero(counts == least)[: _TOP - len(above)]])


class DenseStatistics(Frozen):
    """One raw number column in the training rows; the numbers are None where it has no value."""

    name: str
    missing: float
    mean: float | None
    low: float | None
    high: float | None


class Period(Frozen):
    """Rows over time, of one preparation or one appending.

    Attributes:
        edges: moments between bins of equal length.
        rows: of each part, rows in each bin.
        positives: of each part, how many of them are positive.
    """

    edges: tuple[float, ...]
    rows: dict[Part, tuple[int, ...]]
    positives: dict[Part, tuple[int, ...]]


class PeriodCounter:
    """Counts rows by part and time."""

    def __init__(self, low: float, high: float) -> None:
        self._edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        self._counts = np.zeros((len(PARTS), 2, _BINS), dtype=np.int64)

    def add(self, time: NDArray[np.float64], part: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
        """Count rows."""
        places = np.clip(np.searchsorted(self._edges, time, side="right") - 1, 0, _BINS - 1)
        np.add.at(self._counts, (part, label, places), 1)

    def period(self) -> Period:
        """Return what was counted."""
        of_parts = dict(zip(PARTS, self._counts, strict=True))
        return Period(
            edges=tuple(self._edges.tolist()),
            rows={part: tuple(counts.sum(axis=0).tolist()) for part, counts in of_parts.items()},
            positives={part: tuple(counts[1].tolist()) for part, counts in of_parts.items()},
        )


class Statistics(Frozen):
    """The content of `statistics.json`. Field and dense statistics are of the rows that tables were learned of."""

    rows: int
    fields: tuple[FieldStatistics, ...]
    dense: tuple[DenseStatistics, ...]
    periods: tuple[Period, ...] = ()

    def save(self, folder: Path) -> None:
        """Write them into a prepared folder."""
        write_text(folder / STATISTICS_FILE, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read those of a prepared folder.

        Raises:
            DataError: there are none, or they are damaged.
        """
        path = folder / STATISTICS_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}): prepare the data again") from None
        except ValidationError as error:
            raise DataError(f"{path}: damaged ({first_complaint(error)}): prepare the data again") from None
