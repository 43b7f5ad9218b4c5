"""What a data report says, as plain values, and how they are gathered of a prepared folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import Description, PartDescription
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.statistics import Statistics
from nasrec_automl.data.unknown import count_unknown
from nasrec_automl.errors import DataError

EMBEDDING_DIM = 16
"""Width that memory is told for."""

_COPIES = 2  # the weights, and the sum of squares that Adagrad keeps of each
_BYTES = 4
_COLUMNS = 4  # of the file of rejected rows: file, line, reason, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedReason:
    """Rejected rows of one reason.

    Attributes:
        reason: what is wrong with them.
        rows: how many.
        first: file and line of the first of them.
        text: its beginning.
    """

    reason: str
    rows: int
    first: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataContent:
    """Everything that a data report shows.

    Attributes:
        description: what the folder holds.
        preprocessing: tables and transforms.
        statistics: of the rows that these were learned of, and of all rows over time.
        unknown: of each training and validation part, rows by field without a value that its table knows.
        size: bytes of the arrays on disk.
        rejected: rows that were left out, the most frequent reason first; empty where the file that keeps them is gone
            or holds those of another reading.
    """

    description: Description
    preprocessing: Preprocessing
    statistics: Statistics
    unknown: Mapping[Part, Mapping[str, int]]
    size: int
    rejected: Sequence[RejectedReason] = ()

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.description.parts.values())

    @property
    def positive_rate(self) -> float:
        """Share of ones in all parts, by weight where rows have weights."""
        parts = self.description.parts.values()
        return sum(part.positive_rate * counted(part) for part in parts) / (sum(map(counted, parts)) or 1)

    def unknown_share(self, field: str, parts: Sequence[Part]) -> float:
        """Share of the rows of some parts without a value that the field's table knows."""
        rows = sum(self.description.parts[part].rows for part in parts)
        return sum(self.unknown[part][field] for part in parts) / (rows or 1)


def gather(data: PreparedData, *, on_rows: Callable[[int], None] = lambda done: None) -> DataContent:
    """Gather what a report says of a prepared folder: of test what its two JSON files say, and no more.

    Args:
        data: whose training and validation ids are read, a block at a time.
        on_rows: told how many rows are done.

    Raises:
        DataError: a file of the folder is missing or damaged.
    """
    return DataContent(
        description=data.description,
        preprocessing=data.preprocessing,
        statistics=Statistics.load(data.path),
        unknown=count_unknown(data, on_rows=on_rows),
        size=_size(data),
        rejected=_rejected(data) if data.description.notes.get("rows_rejected") else (),
    )


def rows_to_read(description: Description) -> int:
    """Return how many rows `gather` reads."""
    return sum(description.parts[part].rows for part in (*TRAINING, *VALIDATION))


def counted(part: PartDescription) -> float:
    """Return how much the rows of a part count together."""
    return part.rows if part.weight is None else part.weight


def table_bytes(rows: int) -> int:
    """Return the memory that tables of so many rows take in training with Adagrad."""
    return rows * EMBEDDING_DIM * _BYTES * _COPIES


def _size(data: PreparedData) -> int:
    shards = [shard for part in data.description.parts.values() for shard in part.shards]
    try:
        return sum(
            (data.path / shard.folder / f"{name}.npy").stat().st_size for shard in shards for name in shard.checksums
        )
    except OSError as error:
        raise DataError(f"{error.filename}: expected an array, but {error.strerror}: prepare the data again") from None


def _rejected(data: PreparedData) -> tuple[RejectedReason, ...]:
    """Read what `prepare`, or a run, left beside the folder; every reading writes it anew, also one that fails."""
    beside = (f"{data.path.name}.rejected.tsv", "rejected.tsv")
    files = [path for path in map(data.path.resolve().with_name, beside) if path.is_file()]
    if not files:
        return ()
    counts: dict[str, int] = {}
    first: dict[str, tuple[str, str]] = {}
    with files[0].open(encoding="utf-8", errors="replace", newline="\n") as lines:
        next(lines, None)  # the names of the columns
        for row in lines:
            fields = row.rstrip("\n").split("\t")
            if len(fields) != _COLUMNS:  # the last line of a reading that was killed
                continue
            file, line, reason, text = fields
            counts[reason] = counts.get(reason, 0) + 1
            first.setdefault(reason, (f"{Path(file).name}, line {line}", text))
    if sum(counts.values()) != data.description.notes.get("rows_rejected"):
        return ()
    ranked = sorted(counts, key=lambda reason: -counts[reason])
    return tuple(
        RejectedReason(reason=reason, rows=counts[reason], first=first[reason][0], text=first[reason][1])
        for reason in ranked
    )
