"""A raw source of files: what it says about itself, and its chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.published_sizes import PublishedSize
from nasrec_automl.data.raw import CHUNK_ROWS, Chunk, RawSource
from nasrec_automl.data.rejections import Rejections

# Of the public data sets: at most 500,000 rows a table (arXiv 2207.07187), and categories seen once share row 0.
PUBLISHED_TABLE = CategoricalOptions(min_count=2, hash_above=500_000)
PUBLISHED_HEX_TABLE = PUBLISHED_TABLE.model_copy(update={"format": "hex"})

# Of a column, which lists of many values reach in far fewer rows than CHUNK_ROWS.
_CHUNK_BYTES = 1 << 23

Tables = Callable[[Path, Rejections], Iterator[pa.Table]]
"""Reads the accepted rows of one file."""

MakeExamples = Callable[[pa.Table], Chunk]
"""Makes examples of accepted rows; `Chunk.row` counts from the table's first row."""


@dataclass(frozen=True, kw_only=True)
class FileSource(RawSource):
    """Raw data in files.

    Attributes:
        files: in the order of reading.
        beside: what else is read, for all of them.
        tables: reads one file.
        start: prepares a reading and returns what makes its examples.
        published: how large a public data set is, all of it.
    """

    files: tuple[Path, ...]
    tables: Tables
    start: Callable[[Rejections], MakeExamples]
    published: PublishedSize | None = None
    beside: tuple[Path, ...] = ()

    def chunks(self, rejections: Rejections) -> Iterator[Chunk]:
        """Read all rows from the beginning, the same ones in the same order each time.

        Args:
            rejections: the account of this reading, which is finished when the last chunk has been read.

        Yields:
            Chunks of `CHUNK_ROWS` or somewhat more, of less where a column's cells are wide; the last may be
            smaller.

        Raises:
            DataError: a file cannot be read, or more rows are bad than `rejections` allows.
        """
        yield from self.unfinished(rejections)
        rejections.finish()

    def unfinished(self, rejections: Rejections) -> Iterator[Chunk]:
        """Read all rows as `chunks`, into an account that further sources go on with."""
        examples = self.start(rejections)
        before = rejections.read
        done = 0
        for table in _gathered(self._tables(rejections)):
            chunk = examples(table)
            rejections.look_at(chunk.table)
            yield replace(chunk, row=chunk.row + done)
            done += table.num_rows
        if self.published is not None:
            rejections.compare(self.published, rejections.read - before)

    def _tables(self, rejections: Rejections) -> Iterator[pa.Table]:
        for path in self.files:
            yield from self.tables(path, rejections)


def labelled(table: pa.Table) -> Chunk:
    """Make an example of each row of a table whose column `label` is one."""
    label = table["label"].to_numpy()
    return Chunk(table=table.drop_columns(["label"]), label=label, row=np.arange(len(label)))


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables, whose columns stand as their files have them: each in its own order."""
    waiting: list[pa.Table] = []
    rows = 0
    widest = 0
    for table in tables:
        waiting.append(table.select(waiting[0].column_names) if waiting else table)
        rows += table.num_rows
        widest += max((column.nbytes for column in table.columns), default=0)
        if rows >= CHUNK_ROWS or widest >= _CHUNK_BYTES:
            yield from _divided(pa.concat_tables(waiting), max(1, widest // _CHUNK_BYTES))
            waiting, rows, widest = [], 0, 0
    if rows:
        yield pa.concat_tables(waiting)


def _divided(table: pa.Table, pieces: int) -> Iterator[pa.Table]:
    rows = math.ceil(table.num_rows / pieces)
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
