"""Fields of which a trained model knows no value, as where a file is written otherwise than the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.keys import Keys, hex_texts

FEWEST_VALUES = 10
"""Nothing is concluded from fewer values of a field."""
_FEWEST_ROWS = 100
"""Nothing is concluded from fewer rows without a value."""
_NEARLY_ALL = 0.95
_SHOWN = 3


class UnseenValues:
    """Counts the values of some rows, and those unknown to a model, by field. Whoever predicts many rows fills it.

    Two kinds of fields are left out: a hash knows every value, and an empty vocabulary knew none in training either.

    Args:
        columns: the categorical features, in the order of the id columns.
    """

    def __init__(self, columns: Sequence[CategoricalColumn]) -> None:
        self._columns = columns
        self._rows = 0
        self._values: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, keys: Mapping[str, Keys], ids: NDArray[np.int64]) -> None:
        """Count B rows.

        Args:
            keys: of each feature `(B, K)`.
            ids: `(B, S)`.
        """
        self._rows += len(ids)
        end = 0
        for column in self._columns:
            start, end = end, end + column.columns
            if not column.vocabulary:
                continue
            found = keys[column.name]
            there = found.keys != 0
            unknown = there & (ids[:, start:end] == 0)
            self._values[column.name] += int(np.count_nonzero(there))
            self._unknown[column.name] += int(np.count_nonzero(unknown))
            if column.name not in self._first and unknown.any():
                self._first[column.name] = _text(column, found, found.keys[unknown][0])

    def warnings(self) -> dict[str, str]:
        """Return a sentence for each field of which the model knows hardly any value."""
        return {column.name: self._sentence(column) for column in self._columns if self._is_strange(column.name)}

    def missing(self) -> dict[str, str]:
        """Return a sentence for each field that has no value in any row, where rows are many: those of a whole file."""
        if self._rows < _FEWEST_ROWS:
            return {}
        return {
            column.name: f"{column.name}: has no value in any of {self._rows:,} rows: where the training rows have "
            "values, write them here too"
            for column in self._columns
            if column.vocabulary and not self._values[column.name]
        }

    def _is_strange(self, name: str) -> bool:
        return self._values[name] >= FEWEST_VALUES and self._unknown[name] >= _NEARLY_ALL * self._values[name]

    def _sentence(self, column: CategoricalColumn) -> str:
        texts = list(column.vocabulary or ())
        known = ", ".join(map(repr, texts[:_SHOWN]))
        more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
        share = self._unknown[column.name] / self._values[column.name]
        return (
            f"{column.name}: {share:.0%} of its values are unknown to the model (such as {self._first[column.name]!r}; "
            f"it knows {known}{more}): write them as the training rows have them"
        )


def _text(column: CategoricalColumn, found: Keys, key: np.uint64) -> str:
    if column.format == "hex":
        return hex_texts(np.array([key], dtype=np.uint64))[0]
    return found.texts[int(np.flatnonzero(found.distinct == key)[0])]
