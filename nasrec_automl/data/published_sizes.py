"""How large the public data sets are, so that a part of one is not taken for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """A public data set as it is handed out.

    Attributes:
        file: what people call its file of labelled rows.
        rows: of that file, a header left out.
        columns: of each row.
        dense: number features of an example, by the published protocol.
        fields: categorical features of an example, by the published protocol.
    """

    file: str
    rows: int
    columns: int
    dense: int
    fields: int

    def completeness(self, rows: int) -> str:
        """Say whether so many rows, bad ones among them, are all that there are.

        Example:
            >>> PUBLISHED_SIZES["avazu"].completeness(40_428_967)
            "40,428,967 rows: all of Avazu's train"
        """
        if rows == self.rows:
            return f"{rows:,} rows: all of {self.file}"
        other = "fewer" if rows < self.rows else "more"
        return f"{rows:,} rows: {other} than the {self.rows:,} of {self.file}"


# By source. Criteo's is the Kaggle challenge; the terabyte is another data set in the same format.
PUBLISHED_SIZES: Mapping[str, PublishedSize] = {
    "criteo": PublishedSize(file="Kaggle's train.txt", rows=45_840_617, columns=40, dense=13, fields=26),
    "avazu": PublishedSize(file="Avazu's train", rows=40_428_967, columns=24, dense=0, fields=23),
    "kdd12": PublishedSize(file="KDD12's training.txt", rows=149_639_105, columns=12, dense=3, fields=10),
}
