"""Rows of raw files that cannot be used: counted by reason, kept aside, and an error where they are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nasrec_automl.data.published_sizes import PublishedSize
from nasrec_automl.errors import DataError

DEFAULT_LIMIT = 0.001
_TEXT_LENGTH = 200
_VALUE_LENGTH = 40
_ESCAPES = {number: repr(chr(number))[1:-1] for number in (*range(32), 127, 0x85, 0x2028, 0x2029)}
# Files of another format are given up early; nothing is concluded from fewer rows.
_EARLY_ROWS, _EARLY_SHARE = 10_000, 0.5


@dataclass(frozen=True)
class Rejected:
    """A row that is not used.

    Attributes:
        line: in its file, from 1; of Parquet, the row.
        reason: what is wrong with it.
        text: the row.
        value: the text of the field that is wrong, where it is one field.
    """

    line: int
    reason: str
    text: str
    value: str | None = None

    @classmethod
    def of(cls, line: int, error: ValueError, text: str) -> Rejected:
        """Return the row that an error was found in."""
        return cls(line, str(error), text, error.value if isinstance(error, WrongValueError) else None)

    @property
    def shown(self) -> str:
        """The row for a message, with the wrong value before it."""
        row = repr(self.text[:_TEXT_LENGTH])
        return row if self.value is None or self.value == self.text else f"{self.value[:_VALUE_LENGTH]!r} in {row}"


class WrongValueError(ValueError):
    """What is wrong with one field of a row.

    Args:
        reason: the column and what is wrong.
        value: the field's text.
    """

    def __init__(self, reason: str, value: str) -> None:
        super().__init__(reason)
        self.value = value


class Rejections:
    """The account of one reading: every row is accepted or rejected. Readers add to it, whoever reads looks at it.

    Args:
        limit: share of the rows that may be rejected.
        path: TSV to write rejected rows to: file, line, reason, text with control characters escaped. An earlier one is
            removed when reading begins; without rejected rows there is none.
    """

    def __init__(self, limit: float = DEFAULT_LIMIT, path: Path | None = None) -> None:
        self.limit = limit
        self.path = path
        self.read = 0
        self._published: PublishedSize | None = None
        self._published_rows = 0
        self.reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._constant: dict[str, Any] = {}
        self._begun = False
        self._file: Path | None = None
        self._file_read = self._file_rejected = 0
        self._apart: Rejections | None = None
        self._read_apart: set[Path] = set()

    @property
    def rejected(self) -> int:
        """Rows that are not used."""
        return self.reasons.total()

    @property
    def accepted(self) -> int:
        """Rows that are used."""
        return self.read - self.rejected

    def apart(self, file: Path) -> Rejections:
        """Return the account of a file whose rows are no examples, such as KDD12's users; limit and summary are shared.

        The rows of that file neither count among these nor make room for bad ones. Its bad rows have a file of their
        own, since the data report compares the lines of the main one with the number of rejected rows. A file that
        several folds read is counted once.
        """
        self.begin()
        if file.resolve() in self._read_apart:
            return Rejections(self.limit)
        self._read_apart.add(file.resolve())
        if self._apart is None:
            path = None if self.path is None else self.path.with_name(f"{file.name}.{self.path.name}")
            self._apart = Rejections(self.limit, path)
        return self._apart

    def compare(self, published: PublishedSize, rows: int) -> None:
        """Add to the rows that were read of a public data set; `completeness` compares them with its size."""
        self._published = published
        self._published_rows += rows

    @property
    def completeness(self) -> str:
        """Whether the rows are all those of a public data set; empty for other data, and before the end."""
        return self._published.completeness(self._published_rows) if self._published is not None else ""

    def begin(self) -> None:
        """Take note that rows are being read. Until then an earlier file of rejected rows stays.

        Raises:
            DataError: the earlier file cannot be removed.
        """
        if self._begun:
            return
        self._begun = True
        if self.path is not None:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise DataError(f"{self.path}: bad rows cannot be written there ({error.strerror})") from None

    def add(self, file: Path, read: int, rejected: Iterable[Rejected]) -> None:
        """Count rows of a file.

        Args:
            file: the file.
            read: how many rows, the rejected ones among them.
            rejected: in the order of their lines.

        Raises:
            DataError: most rows so far are bad, of all files or of this one.
        """
        self.begin()
        self.read += read
        rows = list(rejected)
        for row in rows:
            self.reasons[row.reason] += 1
            self._first.setdefault(row.reason, f"{file}, line {row.line}: {row.shown}")
        self._write(file, rows)
        if file != self._file:
            self._file, self._file_read, self._file_rejected = file, 0, 0
        self._file_read += read
        self._file_rejected += len(rows)
        share = max(_EARLY_SHARE, self.limit)
        if self.read >= _EARLY_ROWS and self.rejected > share * self.read:
            raise DataError(self._sentence())
        if self._file_read >= _EARLY_ROWS and self._file_rejected > share * self._file_read:
            raise DataError(
                f"{file}: {self._file_rejected:,} of its first {self._file_read:,} rows are bad, as if it were of "
                f"another format than the files before: correct it, or leave it out. {self.most_frequent()}"
            )

    def look_at(self, table: pa.Table) -> None:
        """Look for columns whose every accepted value is the same."""
        if not table.num_rows:
            return
        for name in table.column_names:
            column = table[name]
            if pa.types.is_list(column.type):
                continue
            if name not in self._constant:
                self._constant[name] = column[0]
            first = self._constant[name]
            if first is None:
                continue
            same = pc.all(pc.equal(column, first)).as_py() if first.is_valid else True
            # Null equals nothing: a column is constant if it is null throughout or nowhere.
            if not same or column.null_count != (0 if first.is_valid else len(column)):
                self._constant[name] = None

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """Columns that held one single value in all rows so far."""
        return tuple(name for name, value in self._constant.items() if value is not None)

    def finish(self) -> None:
        """End the reading.

        Raises:
            DataError: no row was accepted, or more were rejected than the limit allows.
        """
        for account in self._accounts:
            if account.rejected > account.limit * account.read:
                raise DataError(account._sentence())
        if not self.accepted:
            raise DataError(self._sentence() if self.read else "the input files hold no rows: give files with data")

    def notes(self) -> dict[str, float | int | str]:
        """Return what a report should say about the reading."""
        notes: dict[str, float | int | str] = {"rows_read": self.read, "rows_rejected": self.rejected}
        if self.completeness:
            notes["completeness"] = self.completeness
        if self.constant_columns:
            notes["constant_columns"] = ", ".join(self.constant_columns)
        return notes

    def summary(self) -> str:
        """Return lines for people: completeness, bad rows by reason and where they are, constant columns."""
        constant = f"Always the same, so of no use: {', '.join(self.constant_columns)}"
        lines = (self.completeness, self.bad_rows(), constant if self.constant_columns else "")
        return "\n".join(filter(None, lines))

    def bad_rows(self) -> str:
        """Return lines for people: bad rows by reason, and where they are; empty where there are none."""
        return "\n".join(line for account in self._accounts for line in account._bad_rows())

    @property
    def _accounts(self) -> tuple[Rejections, ...]:
        return (self,) if self._apart is None else (self._apart, self)

    def _bad_rows(self) -> list[str]:
        if not self.rejected:
            return []
        where = f", kept in {self.path}" if self.path is not None else ""
        return [
            f"{self.rejected:,} of {self.read:,} rows rejected{where}:",
            *(f"  {count:,} x {reason}; first: {self._first[reason]}" for reason, count in self._ranked()),
        ]

    def _ranked(self) -> list[tuple[str, int]]:
        return self.reasons.most_common()

    def most_frequent(self) -> str:
        """Return the reason of most bad rows, and the first of them; there is at least one."""
        reason, count = self._ranked()[0]
        return f"Most frequent ({count:,}): {reason}; the first is {self._first[reason]}"

    def _sentence(self) -> str:
        kept = f"All are in {self.path}: correct" if self.path is not None else "Correct"
        advice = "the files" if self.limit == 0 else "the files, or raise max_rejected"
        if not self.accepted:
            advice = "the files, or the schema that says what their columns are (source `table`)"
        may_be = "and none may be" if self.limit == 0 else f"but at most {self.limit:.3%} may be"
        count = f"{self.rejected:,} of the {self.read:,} rows read are bad, {may_be}"
        if self.rejected <= self.limit * self.read:  # all of them, which may be bad
            count = f"all of the {self.read:,} rows read are bad"
        return f"{count}. {self.most_frequent()}. {kept} {advice}"

    def _write(self, file: Path, rows: list[Rejected]) -> None:
        if self.path is None or not rows:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            with self.path.open("a", encoding="utf-8", errors="replace", newline="\n") as out:
                if fresh:
                    out.write("file\tline\treason\ttext\n")
                for row in rows:
                    fields = (str(file), str(row.line), row.reason, row.text[:_TEXT_LENGTH])
                    out.write("\t".join(field.translate(_ESCAPES) for field in fields) + "\n")
        except OSError as error:
            raise DataError(f"{self.path}: bad rows cannot be written there ({error.strerror})") from None
