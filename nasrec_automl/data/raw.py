"""What a reader hands to preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

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

    def with_tables(
        self, *, hash_above: int | None = None, fields: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Self:
        """Have tables made otherwise than the reader declared.

        Args:
            hash_above: rows of the largest table; a field that needs more is hashed into so many. Compositional
                fields are left alone.
            fields: by field, options of `CategoricalOptions` to set.

        Raises:
            DataError: no such field, or options that do not fit together.
        """
        changes = fields or {}
        if unknown := [name for name in changes if name not in self.categorical]:
            raise DataError(
                f"{self.name} has no categorical field {unknown[0]!r}; the fields are {', '.join(self.categorical)}"
            )
        made = {}
        for name, declared in self.categorical.items():
            options = {**declared.model_dump(), **changes.get(name, {})}
            if options["compositional"] is None and hash_above is not None:
                options["hash_above"] = hash_above
            try:
                made[name] = CategoricalOptions(**options)
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise DataError(f"{self.name}, field {name!r}: {message}") from None
        return replace(self, categorical=made)

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
