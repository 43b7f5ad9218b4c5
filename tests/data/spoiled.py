"""Files of a public set with something wrong, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from nasrec_automl.data.declared import Declared
from nasrec_automl.data.learning import encode
from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError

_NASTY = [
    *("", " ", "-1", "13", "31", "1.5", "1e308", "NA", "inf", "99999999", "5" * 400, '"', "a|b", "\r", "é", "\x00"),
    *("now", "1600-01-01T00:00:00Z", "2013-02-30", "Film (99999)"),
]

Spoil = Callable[[bytes], bytes]


def spoils(separator: str) -> st.SearchStrategy[Spoil]:
    """Draw a change to a file's content: of a field, a column, a line, or some bytes."""
    between = separator.encode()

    def of_field(line: int, field: int, text: str) -> Spoil:
        def spoil(content: bytes) -> bytes:
            lines = content.split(b"\n")
            fields = lines[line % len(lines)].split(between)
            fields[field % len(fields)] = text.encode()
            lines[line % len(lines)] = between.join(fields)
            return b"\n".join(lines)

        return spoil

    def of_column(column: int, to: int) -> Spoil:
        def spoil(content: bytes) -> bytes:
            rows = [line.split(between) for line in content.split(b"\n")]
            for row in rows[:-1]:  # after the last line's end there is none
                row.insert(to % len(row), row[column % len(row)])
            return b"\n".join(between.join(row) for row in rows)

        return spoil

    def of_lines(line: int, to: int, again: bool) -> Spoil:
        def spoil(content: bytes) -> bytes:
            lines = content.split(b"\n")
            one = lines[line % len(lines)] if again else lines.pop(line % len(lines))
            lines.insert(to % (len(lines) + 1), one)
            return b"\n".join(lines)

        return spoil

    def of_bytes(place: int, length: int, text: bytes) -> Spoil:
        def spoil(content: bytes) -> bytes:
            start = place % (len(content) + 1)
            return content[:start] + text + content[start + length :]

        return spoil

    lines, fields = st.integers(0, 3), st.integers(0, 18)
    texts = st.sampled_from(_NASTY) | st.text(st.characters(codec="utf-8"), max_size=3)
    return st.one_of(
        st.builds(of_field, lines, fields, texts),
        st.builds(of_column, fields, fields),
        st.builds(of_lines, lines, lines, st.booleans()),
        st.builds(of_bytes, st.integers(0, 1000), st.sampled_from([0, 1, 10, 1000]), st.binary(max_size=5)),
    )


def read_or_refuse(read: Callable[[Path], RawSource], folder: Path) -> None:
    """Read all rows and encode them; a sentence may say why not, and nothing else."""
    try:
        source = read(folder)
        declared = Declared(dense=source.dense, categorical=source.categorical, derived=source.derived)
        for chunk in source.chunks(Rejections()):
            encode(chunk.table, declared)
    except DataError:
        pass
