"""What a network must know of its data: dense columns, fields and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.yaml_files import first_complaint


class FieldSchema(Frozen):
    """One categorical field: one embedding table, one slot of the sparse tensor.

    Attributes:
        name: the column's name in the raw data.
        table_size: number of ids, and rows of a plain embedding table. Id 0 is missing, unknown and padding.
        columns: id columns that belong to the field; more than one for a multi-valued field.
        pooling: how the tokens of a multi-valued field become one embedding.
        compositional: keep two small tables instead of one, about this many times smaller (arXiv 1909.02107): an id's
            embedding is the product of a row that it shares with so many ids, and of a row that tells these apart.
        cap: the table has so many rows, fewer than there are ids.
        beyond_cap: where the ids beyond have their rows. `unknown`: in row 0, which leaves the most frequent of a
            vocabulary; `shared`: among the others, modulo, as if fewer rows had been hashed into.
    """

    name: str
    table_size: Annotated[int, Field(ge=2)]
    columns: Annotated[int, Field(ge=1)] = 1
    pooling: Literal["mean", "sum"] = "mean"
    compositional: Annotated[int, Field(ge=2)] | None = None
    cap: Annotated[int, Field(ge=2)] | None = None
    beyond_cap: Literal["unknown", "shared"] = "unknown"

    @model_validator(mode="after")
    def _one_way_to_be_small(self) -> FieldSchema:
        if self.cap is not None and self.cap >= self.table_size:
            raise ValueError(f"cap ({self.cap}) must be below table_size ({self.table_size})")
        if self.cap is not None and self.compositional is not None:
            raise ValueError("a field has a cap or is compositional, but not both: leave one of them out")
        return self

    @property
    def remainders(self) -> int:
        """Ids from 1 on that have the same quotient, if the field is compositional."""
        return -(-(self.table_size - 1) // (self.compositional or 1))

    @property
    def tables(self) -> tuple[int, ...]:
        """Rows of the field's tables: one, or those of remainders and quotients, each with a row for id 0."""
        if self.compositional is None:
            return (self.cap or self.table_size,)
        return self.remainders + 1, -(-(self.table_size - 1) // self.remainders) + 1


class FeatureSchema(Frozen):
    """Names and sizes of a data set's features, as the network sees them.

    Attributes:
        dense: names of the dense features. May be empty: the network then reads one constant zero column.
        fields: the categorical fields, in the order of their id columns.
        embedding_dim: E, the width of every embedding.
    """

    dense: tuple[str, ...] = ()
    fields: Annotated[tuple[FieldSchema, ...], Field(min_length=1)]
    embedding_dim: Annotated[int, Field(ge=1)] = 16

    @model_validator(mode="after")
    def _names_are_unique(self) -> FeatureSchema:
        names = [*self.dense, *(field.name for field in self.fields)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature names must be unique, but these occur twice: {', '.join(twice)}")
        return self

    @classmethod
    def from_sizes(cls, *, dense: int, table_sizes: Sequence[int], embedding_dim: int = 16) -> FeatureSchema:
        """Make a schema with generated names.

        Args:
            dense: number of dense features, 0 allowed.
            table_sizes: rows of each field's table.
            embedding_dim: E.

        Raises:
            DataError: there is no field, a table has fewer than 2 rows, E is below 1, or `dense` below 0.

        Example:
            >>> FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26).num_fields
            26
        """
        if len(table_sizes) == 0:
            raise DataError("table_sizes: expected the rows of at least one field's table, but it is empty")
        if dense < 0:
            raise DataError(f"dense: expected the number of dense features, at least 0, but it is {dense}")
        content = {
            "dense": tuple(f"dense{i}" for i in range(1, dense + 1)),
            "fields": tuple({"name": f"field{i}", "table_size": n} for i, n in enumerate(table_sizes, 1)),
            "embedding_dim": embedding_dim,
        }
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise DataError(f"a schema of these sizes: {first_complaint(error)}") from None

    @property
    def inputs(self) -> FeatureSchema:
        """What the data must be: the schema without caps and at its default width, which are the network's own."""
        fields = tuple(field.model_copy(update={"cap": None, "beyond_cap": "unknown"}) for field in self.fields)
        return FeatureSchema(dense=self.dense, fields=fields)

    @property
    def num_dense(self) -> int:
        """D, the width of the dense input: at least 1, since no dense feature means one zero column."""
        return max(1, len(self.dense))

    @property
    def num_fields(self) -> int:
        """F, the number of fields and of tokens of the raw sparse input."""
        return len(self.fields)

    @property
    def num_columns(self) -> int:
        """S, the number of id columns."""
        return sum(field.columns for field in self.fields)

    @property
    def table_sizes(self) -> tuple[int, ...]:
        """Number of ids of each field."""
        return tuple(field.table_size for field in self.fields)

    @property
    def table_rows(self) -> int:
        """Rows of all embedding tables together."""
        return sum(sum(field.tables) for field in self.fields)
