"""From a frame of raw columns to a network's inputs; one code for preparation, `predict` and serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nasrec_automl.data.categorical import CategoricalColumn, CategoricalOptions
from nasrec_automl.data.columns import DenseColumn, DerivedColumn, Transform
from nasrec_automl.data.files import write_text
from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema

__all__ = [
    "CategoricalColumn",
    "CategoricalOptions",
    "DenseColumn",
    "DerivedColumn",
    "Preprocessing",
    "Transform",
]


class Preprocessing(BaseModel):
    """What was learned of the training rows, saved as JSON beside the data and beside every model.

    Attributes:
        derived: columns computed from raw ones first, in this order.
        dense: the number features, in the order of the dense input's columns.
        categorical: the categorical features, in the order of the id columns.
        version: of this format.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    derived: tuple[DerivedColumn, ...] = ()
    dense: tuple[DenseColumn, ...] = ()
    categorical: tuple[CategoricalColumn, ...] = Field(min_length=1)
    version: Literal[1] = 1

    @model_validator(mode="after")
    def _names_are_unique(self) -> Preprocessing:
        features = [*(c.name for c in self.dense), *(c.name for c in self.categorical)]
        for names in ([c.name for c in self.derived], features):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"column names must be unique, but these occur twice: {', '.join(twice)}")
        return self

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        *,
        dense: Mapping[str, Transform],
        categorical: Mapping[str, CategoricalOptions],
        derived: Iterable[DerivedColumn] = (),
    ) -> Self:
        """Learn from the training rows.

        Args:
            frame: raw columns of the training rows and of no others.
            dense: transform of each number feature.
            categorical: table options of each categorical feature; at least one.
            derived: columns to compute first.

        Raises:
            DataError: a column is missing, holds text where numbers are declared, or is declared twice.
        """
        derived = tuple(derived)
        made = {column.name for column in derived}
        sources = [column.source for column in derived]
        _check_columns(frame, [*sources, *(name for name in (*dense, *categorical) if name not in made)])
        columns = _with_derived(frame, derived)
        try:
            return cls(
                derived=derived,
                dense=tuple(DenseColumn.fit(columns[name], name, how) for name, how in dense.items()),
                categorical=tuple(
                    CategoricalColumn.fit(columns[name], name, options) for name, options in categorical.items()
                ),
            )
        except ValidationError as error:
            raise DataError(f"the declared columns do not fit together: {_first(error)}") from None

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The columns that `transform` expects of a frame."""
        made = {column.name for column in self.derived}
        names = [column.source for column in self.derived]
        features = [*(column.name for column in self.dense), *(column.name for column in self.categorical)]
        names += [name for name in features if name not in made]
        return tuple(dict.fromkeys(names))

    def transform(self, frame: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Turn B raw rows into a network's inputs.

        Args:
            frame: at least `raw_columns`; others are ignored.

        Returns:
            Dense `(B, D)`, where no dense feature gives one column of zeros, and ids `(B, S)`.

        Raises:
            DataError: a column is missing, or a value that should be a number is not.
        """
        _check_columns(frame, self.raw_columns)
        columns = _with_derived(frame, self.derived)
        dense = np.zeros((len(frame), max(1, len(self.dense))), dtype=np.float32)
        for position, number in enumerate(self.dense):
            dense[:, position] = number.apply(columns[number.name])
        ids = np.zeros((len(frame), len(self.categorical)), dtype=np.int64)
        for position, category in enumerate(self.categorical):
            ids[:, position] = category.apply(columns[category.name])
        return dense, ids

    # pydantic's own `schema` is deprecated and gone in its next version; the name means ours everywhere else.
    def schema(self, embedding_dim: int = 16, table_cap: int | None = None) -> FeatureSchema:  # type: ignore[override]
        """Describe the outputs to a network.

        Args:
            embedding_dim: E.
            table_cap: rows of the largest embedding table, compositional ones aside: of a larger vocabulary the
                most frequent categories keep a row of their own, and of a larger hash more categories share one.
        """
        return FeatureSchema(
            dense=tuple(column.name for column in self.dense),
            fields=tuple(column.field(table_cap) for column in self.categorical),
            embedding_dim=embedding_dim,
        )

    def save(self, path: Path | str) -> None:
        """Write JSON; a reader never sees half a file."""
        write_text(Path(path), self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: no such file, or not a preprocessing of this version.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise DataError(f"{path}: expected a preprocessing file, but {error.strerror}") from None
        except ValidationError as error:
            raise DataError(f"{path}: not a preprocessing file of version 1: {_first(error)}") from None


def _check_columns(frame: pd.DataFrame, expected: Iterable[str]) -> None:
    names = list(dict.fromkeys(expected))
    present = list(frame.columns)
    if missing := [name for name in names if name not in present]:
        raise DataError(
            f"the data lack the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"expected {', '.join(names)}"
        )
    if twice := [name for name in names if present.count(name) > 1]:
        raise DataError(f"the data have several columns named {', '.join(twice)}; expected one of each name")


def _with_derived(frame: pd.DataFrame, derived: Iterable[DerivedColumn]) -> Mapping[str, pd.Series[Any]]:
    columns: dict[str, pd.Series[Any]] = {str(name): column for name, column in frame.items()}
    made = {c.name: pd.Series(c.apply(columns[c.source]), index=frame.index, name=c.name) for c in derived}
    return {**columns, **made}


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
