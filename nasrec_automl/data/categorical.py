"""How one raw column becomes rows of an embedding table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nasrec_automl.data.columns import Value
from nasrec_automl.data.values import categories
from nasrec_automl.schema import FieldSchema

# pandas.util.hash_array wants 16 bytes. Another key, or another hash, would break every saved model.
_HASH_KEY = "nasrec-automl/v1"


class CategoricalOptions(Value):
    """How a categorical column's table is made.

    Attributes:
        kind: `vocabulary` gives each category a row, `hash` shares a fixed number of rows.
        min_count: training rows a category needs for a row of its own; rarer ones share row 0 and train it.
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


class CategoricalColumn(Value):
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
    def fit(cls, column: pd.Series[Any], name: str, options: CategoricalOptions) -> Self:
        """Learn the vocabulary: most frequent first, ties by text, so that equal data give equal tables."""
        composed = options.compositional
        if options.kind == "hash" and options.hash_size is not None:
            return cls(name=name, kind="hash", table_size=options.hash_size, compositional=composed)
        codes, texts = categories(column)
        counts: Counter[str] = Counter()
        for text, count in zip(texts, np.bincount(codes[codes >= 0], minlength=len(texts)), strict=True):
            if text is not None:
                counts[text] += int(count)
        kept = sorted((-count, text) for text, count in counts.items() if count >= options.min_count)
        if options.max_table_size is not None:
            kept = kept[: options.max_table_size - 1]
        size = max(2, len(kept) + 1)
        if options.hash_above is not None and size > options.hash_above:
            return cls(name=name, kind="hash", table_size=options.hash_above, compositional=composed)
        vocabulary = {text: row for row, (_, text) in enumerate(kept, start=1)}
        return cls(name=name, kind="vocabulary", table_size=size, compositional=composed, vocabulary=vocabulary)

    def field(self, cap: int | None = None) -> FieldSchema:
        """Describe the ids to a network whose table has at most `cap` rows; a compositional field is left alone."""
        capped = cap is not None and cap < self.table_size and self.compositional is None
        return FieldSchema(
            name=self.name,
            table_size=self.table_size,
            compositional=self.compositional,
            cap=cap if capped else None,
            beyond_cap="shared" if capped and self.kind == "hash" else "unknown",
        )

    def apply(self, column: pd.Series[Any]) -> NDArray[np.int64]:
        """Find the table row of each raw value `(B,)`."""
        codes, texts = categories(column)
        # The last entry answers code -1, missing.
        return np.append(self._rows_of(texts), 0)[codes]

    def _rows_of(self, texts: Sequence[str | None]) -> NDArray[np.int64]:
        if self.vocabulary is not None:
            found = (self.vocabulary.get(text, 0) if text is not None else 0 for text in texts)
            return np.fromiter(found, dtype=np.int64, count=len(texts))
        known = np.array([text is not None for text in texts], dtype=bool)
        words = np.array([text or "" for text in texts], dtype=object)
        hashed = pd.util.hash_array(words, hash_key=_HASH_KEY, categorize=False)
        return np.where(known, hashed % np.uint64(self.table_size - 1) + np.uint64(1), 0).astype(np.int64)
