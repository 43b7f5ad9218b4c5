"""How one raw column becomes rows of an embedding table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nasrec_automl.data.keys import Keys, hex_keys, keys_of_any, keys_of_hex, keys_of_lists, text_keys
from nasrec_automl.data.values import RawColumn
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.schema import FieldSchema

Texts: TypeAlias = Callable[[NDArray[np.uint64]], list[str]]
"""Gives the canonical text of each of some keys `(U,)`."""

_NO_KEYS, _NO_COUNTS = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)


class CategoryFormat(Frozen):
    """What the cells of a categorical column hold.

    Attributes:
        format: `any` compares values by their canonical text; `hex` takes texts of exactly 8 hex digits (0-9, a-f).
        max_values: id columns of a multi-valued field, whose cells hold several values; None where they hold one.
        separator: between the values of a cell that is a text; a cell may be a list as well.
        pooling: how the embeddings of a multi-valued field's values become one.
    """

    format: Literal["any", "hex"] = "any"
    max_values: Annotated[int, Field(ge=2)] | None = None
    separator: Annotated[str, Field(min_length=1)] = "|"
    pooling: Literal["mean", "sum"] = "mean"

    @model_validator(mode="after")
    def _several_values_are_texts(self) -> Self:
        if self.format == "hex" and self.max_values is not None:
            raise ValueError("a multi-valued column has the format `any`")
        return self

    @property
    def columns(self) -> int:
        """K, the number of id columns."""
        return self.max_values or 1

    def keys(self, column: RawColumn, name: str, *, checked: bool = False) -> Keys:
        """Return the keys of raw values `(B,)`.

        Args:
            column: B raw values.
            name: of the column, for messages.
            checked: whether a reader has made sure of the digits of the format `hex`.

        Returns:
            Keys `(B, K)`.

        Raises:
            DataError: a cell that holds something else.
        """
        if self.max_values is not None:
            return keys_of_lists(column, name, self.separator, self.max_values)
        found = keys_of_hex(column, name, checked=checked) if self.format == "hex" else keys_of_any(column, name)
        return Keys(found.keys.reshape(-1, 1), found.distinct, found.texts)

    def text_keys(self, texts: Sequence[str]) -> NDArray[np.uint64]:
        """Return the keys of canonical texts."""
        return hex_keys(texts) if self.format == "hex" else text_keys(texts)


class CategoricalOptions(CategoryFormat):
    """How a categorical column's table is made.

    Attributes:
        kind: `vocabulary` gives each category a row, `hash` shares a fixed number of rows.
        min_count: how often a category must occur in training rows for a row of its own; rarer ones have row 0.
        max_table_size: a vocabulary keeps the most frequent; a hash fills exactly this many rows.
        hash_above: a vocabulary of more rows becomes a hash of so many; a larger hash shrinks to so many.
        compositional: as in `FieldSchema`; the ids are the same.
    """

    kind: Literal["vocabulary", "hash"] = "vocabulary"
    min_count: Annotated[int, Field(ge=1)] = 1
    max_table_size: Annotated[int, Field(ge=2)] | None = None
    hash_above: Annotated[int, Field(ge=2)] | None = None
    compositional: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _hash_has_a_size(self) -> CategoricalOptions:
        if self.kind == "hash" and self.hash_size is None:
            raise ValueError("a hashed column needs max_table_size, the number of rows of its table")
        return self

    @property
    def hash_size(self) -> int | None:
        """Rows of the table if the column is hashed."""
        sizes = [size for size in (self.max_table_size, self.hash_above) if size is not None]
        return min(sizes) if sizes else None


class Candidates:
    """The categories that may have a row of their own, gathered from a share of all categories at a time.

    Attributes:
        keys: `(U,)`, distinct. Once there are as many as `max_table_size` allows, rarer ones than the last of these are
            left out. Empty for a hash.
        counts: `(U,)`, how often each occurs in the training rows.
        hashed: whether the column is hashed: nothing is kept of it, however many categories there are.
    """

    def __init__(self, options: CategoricalOptions) -> None:
        self.hashed = options.kind == "hash"
        self.keys, self.counts = _NO_KEYS, _NO_COUNTS
        self._options = options
        self._often = 0

    @property
    def size(self) -> int:
        """Rows of a vocabulary's table."""
        most = self._options.max_table_size
        return max(2, self._often + 1 if most is None else min(most, self._often + 1))

    def add(self, keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        """Look at a share of the categories `(U,)`, without missing; no category is in two shares."""
        if self.hashed:
            return
        often = counts >= self._options.min_count
        self._often += int(np.count_nonzero(often))
        above, most = self._options.hash_above, self._options.max_table_size
        self.hashed = above is not None and self.size > above
        if self.hashed:
            self.keys, self.counts = _NO_KEYS, _NO_COUNTS
            return
        self.keys = np.concatenate([self.keys, keys[often]])
        self.counts = np.concatenate([self.counts, counts[often]])
        if most is not None and len(self.keys) > most - 1:  # texts decide among the last of one count alone
            place = len(self.keys) - most + 1
            kept = self.counts >= np.partition(self.counts, place)[place]
            self.keys, self.counts = self.keys[kept], self.counts[kept]


class CategoricalColumn(CategoryFormat):
    """A categorical feature. Row 0 of its table is missing and unknown.

    Attributes:
        name: raw or derived column.
        kind: as in `CategoricalOptions`.
        table_size: number of ids, from 0.
        compositional: as in `FieldSchema`.
        vocabulary: row of each category by its canonical text, from 1; None for a hash.
    """

    name: str
    kind: Literal["vocabulary", "hash"]
    table_size: Annotated[int, Field(ge=2)]
    compositional: Annotated[int, Field(ge=2)] | None = None
    vocabulary: dict[str, int] | None = None

    @model_validator(mode="after")
    def _rows_are_in_the_table(self) -> CategoricalColumn:
        if (self.kind == "vocabulary") != (self.vocabulary is not None):
            raise ValueError("a vocabulary column has a vocabulary, a hashed one has none")
        rows = self.vocabulary.values() if self.vocabulary else ()
        if rows and not (min(rows) >= 1 and max(rows) < self.table_size):
            raise ValueError(f"vocabulary rows must lie in 1..{self.table_size - 1}")
        return self

    @classmethod
    def learn(cls, name: str, options: CategoricalOptions, candidates: Candidates, texts: Texts) -> Self:
        """Make the table: most frequent first, ties by text, so that equal data give equal tables.

        Args:
            name: of the column.
            options: of its table.
            candidates: gathered with these options, of all categories of the training rows.
            texts: of their keys.
        """
        shared = options.model_dump(include={*CategoryFormat.model_fields, "compositional"})
        if candidates.hashed and options.hash_size is not None:
            return cls(name=name, kind="hash", table_size=options.hash_size, **shared)
        keys, counts, size = candidates.keys, candidates.counts, candidates.size
        if options.format == "hex":  # the order of keys is that of their texts
            ranked = texts(keys[np.lexsort((keys, -counts))][: size - 1])
        else:
            ranked = [text for _, text in sorted(zip((-counts).tolist(), texts(keys), strict=True))[: size - 1]]
        vocabulary = {text: row for row, text in enumerate(ranked, start=1)}
        return cls(name=name, kind="vocabulary", table_size=size, vocabulary=vocabulary, **shared)

    def field(self, cap: int | None = None) -> FieldSchema:
        """Describe the ids to a network whose table has at most `cap` rows; a compositional field is left alone."""
        capped = cap is not None and cap < self.table_size and self.compositional is None
        return FieldSchema(
            name=self.name,
            table_size=self.table_size,
            columns=self.columns,
            pooling=self.pooling,
            compositional=self.compositional,
            cap=cap if capped else None,
            beyond_cap="shared" if capped and self.kind == "hash" else "unknown",
        )

    def ids(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Find the table row of each key, whatever the shape."""
        if self.vocabulary is None:
            # The number that 8 hex digits stand for goes into the published fmod(id, rows - 1) + 1.
            numbers = keys - np.uint64(self.format == "hex")
            return np.where(keys == 0, 0, numbers % np.uint64(self.table_size - 1) + np.uint64(1)).astype(np.int64)
        index, rows = self._rows_of_keys
        found: NDArray[np.int64] = rows[index.get_indexer(pd.Index(keys.ravel()))].reshape(keys.shape)
        return found

    @cached_property
    def _rows_of_keys(self) -> tuple[pd.Index, NDArray[np.int64]]:
        vocabulary = self.vocabulary or {}
        rows = np.fromiter(vocabulary.values(), dtype=np.int64, count=len(vocabulary))
        index = pd.Index(self.text_keys(list(vocabulary)))
        # Asking builds pandas' hash table. A thread that comes while another builds it would look into half of it.
        if not index.is_unique:
            raise DataError(f"field {self.name!r}: two texts of the vocabulary are one category: remove one")
        return index, np.append(rows, 0)  # -1, not found, has the last entry
