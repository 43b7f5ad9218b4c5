"""`statistics.json`: what preparation saw of the training rows' features, and of all rows over time. For the report."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data.categorical import Counts
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

    @classmethod
    def of(cls, name: str, counts: Counts, *, rows: int, missing: int) -> Self:
        """Describe a field of which `missing` of `rows` rows have no value."""
        values = int(counts.counts.sum())
        most = min(_TOP, len(counts.counts))
        top = np.argsort(-counts.counts, kind="stable")[:most] if most else np.empty(0, dtype=np.int64)
        floors = [2**power for power in range(int(counts.counts.max()).bit_length())] if most else []
        return cls(
            name=name,
            values=values,
            missing=missing / max(1, rows),
            categories=len(counts.keys),
            sizes=tuple((floor, int(np.count_nonzero(counts.counts >= floor))) for floor in floors),
            top=tuple(
                (text, count / values)
                for text, count in zip(counts.texts(counts.keys[top]), counts.counts[top].tolist(), strict=True)
            )
            if most
            else (),
        )


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
