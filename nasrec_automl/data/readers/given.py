"""Files of training, validation and test as one source, for the split `given`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from nasrec_automl.data.raw import Chunk, RawSource
from nasrec_automl.data.readers.source import FileSource
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class GivenFiles(RawSource):
    """Three sources of files, one for each of `FOLDS`. The other attributes are those of the first."""

    sources: tuple[FileSource, ...]

    @classmethod
    def of(cls, training: FileSource, validation: FileSource, test: FileSource) -> GivenFiles:
        """Join three sources of one kind."""
        described = {each.name: getattr(training, each.name) for each in fields(RawSource)}
        return cls(**described, sources=(training, validation, test))

    def chunks(self, rejections: Rejections) -> Iterator[Chunk]:
        """Read all rows, those of training first.

        Raises:
            DataError: a file cannot be read, too many rows are bad, or each row says what it is for, too.
        """
        done = 0
        for fold, source in enumerate(self.sources):
            start = done
            for chunk in source.unfinished(rejections):
                if chunk.fold is not None:
                    raise DataError(
                        f"{self.name}: its files are those of training, validation and test, but the schema's column "
                        "`split` says it of each row, too: ignore the column, or give all files as one input"
                    )
                rows = chunk.row + start
                done = int(rows[-1]) + 1 if len(rows) else done
                yield replace(chunk, row=rows, fold=np.full(len(rows), fold, dtype=np.uint8))
        rejections.finish()
