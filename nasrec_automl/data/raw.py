"""What a reader hands to preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DerivedColumn, Transform
from nasrec_automl.data.values import numbers
from nasrec_automl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class RawData:
    """Raw columns with their declarations. Readers make it, `prepare` uses it.

    Attributes:
        name: of the data set.
        frame: raw columns, as a user of `predict` has them; without the label and what it was made of.
        label: 0 or 1 for each row of `frame`.
        label_description: what a 1 means.
        dense: transform of each number feature.
        categorical: table options of each categorical feature.
        derived: columns to compute first.
        time: a number for each row that says when it happened; None where that is unknown.
        notes: facts for the report, such as the log loss that no model can beat.
    """

    name: str
    frame: pd.DataFrame
    label: pd.Series[Any]
    label_description: str
    dense: Mapping[str, Transform]
    categorical: Mapping[str, CategoricalOptions]
    derived: tuple[DerivedColumn, ...] = ()
    time: pd.Series[Any] | None = None
    notes: Mapping[str, float | int | str] = field(default_factory=dict)

    def checked_label(self) -> NDArray[np.uint8]:
        """Return the labels `(rows,)`.

        Raises:
            DataError: a label that is not 0 or 1, or not one label for each row.
        """
        if len(self.label) != len(self.frame):
            raise DataError(
                f"{self.name}: expected one label for each row, but {len(self.frame)} rows came with "
                f"{len(self.label)} labels"
            )
        values = numbers(self.label.rename("label"))
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if wrong.size:
            row = int(wrong[0])
            raise DataError(
                f"{self.name}: a label must be 0 or 1, but row {row + 1} (the first is 1) has "
                f"{str(self.label.iloc[row])!r} ({wrong.size} such rows): correct or remove them"
            )
        return values.astype(np.uint8)
