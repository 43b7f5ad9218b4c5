"""Files that are whole or not there: written beside and renamed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasrec_automl.errors import DataError


def check_output_file(path: Path) -> None:
    """Check, before anything is read, that a file can be written to a place.

    Raises:
        DataError: its folder is missing, or what is there is no file.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder does not exist; make it, or write elsewhere")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a folder, or no file that can be replaced; name a file to write")


def beside_of(path: Path) -> Path:
    """Where this process writes what is to be `path`; processes of several hosts may do so in a folder they share."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a path to write to: it is renamed to `path` where the block ends well, and gone otherwise."""
    beside = beside_of(path)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` with `content` in one step."""
    with written_beside(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` with `content` in UTF-8 in one step."""
    write_bytes(path, content.encode("utf-8"))
