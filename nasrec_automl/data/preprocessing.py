"""From raw columns to a network's inputs; one code for preparation, `predict` and serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.columns import DenseColumn, DerivedColumn
from nasrec_automl.data.declared import Declared, RawRows
from nasrec_automl.data.files import write_text
from nasrec_automl.data.unseen import UnseenValues
from nasrec_automl.data.values import numbers
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.yaml_files import first_complaint

PREPROCESSING_FILE = "preprocessing.json"
"""In a prepared folder, and in that of a model."""


class Preprocessing(Frozen):
    """What was learned of the training rows, saved as JSON beside the data and beside every model.

    Attributes:
        derived: columns computed from raw ones first, in this order.
        dense: the number features, in the order of the dense input's columns.
        categorical: the categorical features, in the order of the id columns.
        version: of this format.
    """

    derived: tuple[DerivedColumn, ...] = ()
    dense: tuple[DenseColumn, ...] = ()
    categorical: tuple[CategoricalColumn, ...] = Field(min_length=1)
    version: Literal[1] = 1

    @model_validator(mode="after")
    def _names_are_unique(self) -> Preprocessing:
        features = [*(name for c in self.dense for name in c.features), *(c.name for c in self.categorical)]
        for names in ([c.name for c in self.derived], features):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"column names must be unique, but these occur twice: {', '.join(twice)}")
        return self

    @classmethod
    def of(cls, declared: Declared, *, dense: Iterable[DenseColumn], categorical: Iterable[CategoricalColumn]) -> Self:
        """Join what was learned of each column.

        Raises:
            DataError: the columns do not fit together.
        """
        try:
            return cls(derived=declared.derived, dense=tuple(dense), categorical=tuple(categorical))
        except ValidationError as error:
            raise DataError(f"the declared columns do not fit together: {first_complaint(error)}") from None

    @property
    def declared(self) -> Declared:
        """What has to be read of raw rows."""
        return Declared(
            dense={column.name: column for column in self.dense},
            categorical={column.name: column for column in self.categorical},
            derived=self.derived,
        )

    def transform(
        self, frame: RawRows, unseen: UnseenValues | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Turn B raw rows into a network's inputs.

        Args:
            frame: at least the columns `declared.raw_columns`; others are ignored. Also a row as a dict by column, or
                a list of these, in which what a row lacks and another has is missing.
            unseen: counts what the tables do not know.

        Returns:
            Dense `(B, D)`, where no dense feature gives one column of zeros, and ids `(B, S)`.

        Raises:
            DataError: a column is missing, or a value that should be a number is not. Or these are no rows.
        """
        declared = self.declared
        table = declared.table(frame)
        columns = declared.columns(table)
        dense = self.dense_inputs({c.name: numbers(columns[c.name], c.name) for c in self.dense}, len(table))
        keys = {c.name: c.keys(columns[c.name], c.name) for c in self.categorical}
        ids = self.id_inputs({name: found.keys for name, found in keys.items()}, len(table))
        if unseen is not None:
            unseen.add(keys, ids)
        return dense, ids

    def dense_inputs(self, values: Mapping[str, NDArray[np.float64]], rows: int) -> NDArray[np.float32]:
        """Transform the values `(B,)` of each number feature into `(B, D)`; `rows` is B."""
        inputs = np.zeros((rows, max(1, sum(len(column.features) for column in self.dense))), dtype=np.float32)
        start = 0
        for column in self.dense:
            end = start + len(column.features)
            inputs[:, start:end] = column.apply(values[column.name])
            start = end
        return inputs

    def id_inputs(
        self, keys: Mapping[str, NDArray[np.uint64]], rows: int, dtype: np.dtype[Any] | type[np.integer[Any]] = np.int64
    ) -> NDArray[Any]:
        """Find the ids `(B, S)` of the keys `(B, K)` of each categorical feature; `rows` is B."""
        ids = np.empty((rows, sum(column.columns for column in self.categorical)), dtype=dtype)
        start = 0
        for column in self.categorical:
            end = start + column.columns
            ids[:, start:end] = column.ids(keys[column.name])
            start = end
        return ids

    # pydantic's own `schema` is deprecated and gone in its next version; the name means ours everywhere else.
    def schema(self, embedding_dim: int = 16, table_cap: int | None = None) -> FeatureSchema:  # type: ignore[override]
        """Describe the outputs to a network.

        Args:
            embedding_dim: E.
            table_cap: rows of the largest embedding table, compositional ones aside: of a larger vocabulary the
                most frequent categories keep a row of their own, and of a larger hash more categories share one.
        """
        return FeatureSchema(
            dense=tuple(name for column in self.dense for name in column.features),
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
            raise DataError(f"{path}: not a preprocessing file of version 1: {first_complaint(error)}") from None
