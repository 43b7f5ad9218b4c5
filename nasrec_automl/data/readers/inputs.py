"""From paths to files, and from a file to blocks of whole lines, compressed or not; and to a compressed file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa

from nasrec_automl.errors import DataError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_FORMS = (".csv", ".tsv", ".txt", ".parquet")
_BLOCK = 1 << 21
LONGEST_LINE = 1 << 24
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Whole lines of a file.

    Attributes:
        content: the lines; the file's last one may lack its end.
        first_line: number of the first of them, from 1.
    """

    content: bytes
    first_line: int


def plain_name(path: Path) -> str:
    """Return a file's name without the ending of its compression."""
    return path.stem if path.suffix.lower() in COMPRESSED else path.name


def file_of(path: Path) -> Path:
    """Return the path that tells tables apart: links followed, without the endings of compression and form."""
    real = path.resolve()
    plain = Path(plain_name(real))
    return real.with_name(plain.stem if plain.suffix.lower() in _FORMS else plain.name)


def find_files(paths: Sequence[Path], patterns: Sequence[str], what: str) -> tuple[Path, ...]:
    """Find the files that paths stand for: files, folders, or globs.

    Args:
        paths: as a user gave them; `**` in a glob stands for folders of any depth.
        patterns: names in lower case, compression left aside, of the files that are taken of a folder, in either case.
        what: they are, for the messages.

    Returns:
        At least one file; those of a folder or a glob by name, with numbers in their order (day_2 before day_10), and
        without files of rejected rows and those whose names begin with a dot.

    Raises:
        DataError: no such file, or one table twice, perhaps compressed or in another form.
    """
    if not paths:
        raise DataError(f"{what} are read of files: name at least one file or folder as input")
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [(entry, plain_name(entry).lower()) for entry in path.iterdir() if _is_input(entry)]
            found = [entry for entry, name in inside if any(fnmatchcase(name, pattern) for pattern in patterns)]
            expected = f"a folder with {' or '.join(patterns)}"
        elif path.is_file():
            found, expected = [path], ""
        else:
            # A set: several `**` find a file in several ways.
            found = list(filter(_is_input, map(Path, {*glob(str(path), recursive=True)})))  # noqa: PTH207
            expected = "a file, a folder, or a pattern such as 'day_*.gz' that fits a file"
        if not found:
            raise DataError(f"{path}: expected {what} as {expected}, but there is none")
        files += sorted(found, key=lambda path: (_natural(path), path))  # names may have equal numbers: 1 and 01
    known: dict[Path, Path] = {}
    for file in files:
        key = file_of(file)
        if (other := known.get(key)) is not None:
            raise DataError(
                f"{other} and {file}: look like one table, whose rows would count twice: leave one out, or rename one"
            )
        known[key] = file
    return tuple(files)


def read_blocks(path: Path) -> Iterator[Block]:
    """Read a file in blocks of about two megabytes. A byte order mark is left out.

    Raises:
        DataError: the file is missing, empty, damaged, cut off where it is compressed, or has no lines.
    """
    line, rest, found = 1, b"", False
    with _open(path) as stream:
        while read := _read(stream, path, line):
            content = rest + read if found else read.removeprefix(_BOM)
            found = True
            end = content.rfind(b"\n") + 1
            if len(content) - end > LONGEST_LINE:
                raise DataError(
                    f"{path}, line {line}: longer than {LONGEST_LINE:,} bytes, so this is no text with lines"
                )
            block, rest = content[:end], content[end:]
            if block:
                yield Block(block, line)
                line += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))  # faster than bytes.count
    if rest:
        yield Block(rest, line)
    elif line == 1:
        raise DataError(f"{path}: the file is empty; get it again, or leave it out")


def compressing(stream: BinaryIO, path: Path) -> BinaryIO:
    """Return a stream that compresses as a path's ending says, into another one, which is still to be closed."""
    makers: dict[str, Callable[[], Any]] = {
        # Without a name and a time, so that equal content gives equal bytes.
        ".gz": partial(gzip.GzipFile, "", "wb", fileobj=stream, mtime=0),
        ".bz2": partial(bz2.BZ2File, stream, "wb"),
        ".xz": partial(lzma.LZMAFile, stream, "wb"),
        ".zst": partial(pa.CompressedOutputStream, stream, "zstd"),
    }
    maker = makers.get(path.suffix.lower())
    return stream if maker is None else cast(BinaryIO, maker())


def _open(path: Path) -> BinaryIO:
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        if path.suffix.lower() == ".zst":
            return cast(BinaryIO, pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
        opener = openers.get(path.suffix.lower())
        return cast(BinaryIO, path.open("rb") if opener is None else opener(path, "rb"))
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror or error})") from None


def _read(stream: BinaryIO, path: Path, line: int) -> bytes:
    try:
        return stream.read(_BLOCK)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        where = f", after line {line - 1}" if line > 1 else ""  # what was read of this block is lost
        raise DataError(f"{path}{where}: the file is cut off or damaged ({error}): get it again") from None


def _is_input(path: Path) -> bool:
    """Say whether something found is a file, and neither hidden, as `._a.csv` of macOS, nor one of rejected rows."""
    return path.is_file() and not path.name.startswith(".") and not f".{plain_name(path)}".endswith(".rejected.tsv")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order numbers within names by their value."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", str(path))]
