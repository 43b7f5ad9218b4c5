"""Which rows belong together by the values of a column, read some rows at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.values import categories
from nasrec_automl.errors import DataError


class Groups:
    """Numbers of the distinct values of a column, which are compared as categories are.

    Args:
        column: name of the column.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._known: dict[str, int] = {}
        self._numbers: list[NDArray[np.int64]] = []

    def add(self, table: pa.Table | pd.DataFrame) -> None:
        """Read further rows.

        Raises:
            DataError: they lack the column, or it holds several values a row.
        """
        names = list(table.columns) if isinstance(table, pd.DataFrame) else table.column_names
        if self._column not in names:
            raise DataError(f"the rows have no column {self._column!r} to group by; they have {', '.join(names)}")
        if isinstance(table, pa.Table) and pa.types.is_list(table[self._column].type):
            raise DataError(f"column {self._column!r} holds several values a row, by which rows cannot be grouped")
        codes, texts = categories(table[self._column], self._column)
        numbers = [-1 if text is None else self._known.setdefault(text, len(self._known)) for text in texts]
        self._numbers.append(np.array([*numbers, -1], dtype=np.int64)[codes])  # the last is of code -1, missing

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each row's group `(n,)`, from 0; -1 where the value is missing."""
        return np.concatenate(self._numbers)
