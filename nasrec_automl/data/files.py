"""Files that are whole or not there: written beside and renamed."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from nasrec_automl.errors import DataError
from nasrec_automl.processes import own_host

_DAY = 24 * 60 * 60


def check_output_file(path: Path, endings: Collection[str] = ()) -> None:
    """Check, before anything is read, that a file can be written to a place.

    Args:
        path: the file.
        endings: of names that a file there may have, to be replaced; without them, any.

    Raises:
        DataError: its folder is missing or cannot be written, or what is there is no file, or another kind of file.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder does not exist; make it, or write elsewhere")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a folder, or no file that can be replaced; name a file to write")
    if path.exists() and endings and path.suffix.lower() not in endings:
        raise DataError(
            f"{path}: is there, and would be replaced by a file of another kind ({', '.join(endings)}); name another "
            "file to write"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        reason = "it is on a read-only disk" if is_read_only(path.parent) else "no permission"
        raise DataError(f"{path}: nothing can be written in its folder ({reason}); write elsewhere")


def is_read_only(folder: Path) -> bool:
    """Say whether a folder is on a file system that is mounted read-only."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def beside_of(path: Path) -> Path:
    """Return a path beside `path` to write to before a renaming, which no other thread, process or host uses."""
    return path.with_name(f".{path.name}.{own_host()}.{os.getpid()}.{threading.get_ident()}.partial")


def clear_left(path: Path) -> None:
    """Delete files and folders that killed processes have left beside a file.

    A process of this host must have ended. What other hosts have left, or this one before its last boot, is deleted
    once nothing was written to it for a day.
    """
    for left in path.parent.glob(f"{escape(f'.{path.name}.')}*.partial"):
        if not _may_be_written(left, path):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _may_be_written(left: Path, path: Path) -> bool:
    own = f".{path.name}.{own_host()}."
    if not left.name.startswith(own):
        with suppress(FileNotFoundError):  # it has just been renamed
            newest = max(each.stat().st_mtime for each in (left, *left.rglob("*")))
            return time.time() - newest < _DAY
        return True
    try:
        os.kill(int(left.name.removeprefix(own).partition(".")[0]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a path to write to: it is renamed to `path` where the block ends well, and gone otherwise.

    Raises:
        OSError: it cannot be written or renamed; the error names `path`, which is the one that people know.
    """
    beside = beside_of(path)
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        if error.filename == str(beside) and error.filename2 is None:
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # on a read-only disk even what is not there cannot be deleted
            beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` with `content` in one step."""
    with written_beside(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` with `content` in UTF-8 in one step."""
    write_bytes(path, content.encode("utf-8"))
