"""Writing a prepared folder so that it is whole or not there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasrec_automl.data.description import DESCRIPTION_FILE, Description, is_prepared
from nasrec_automl.data.files import is_read_only
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.data.statistics import STATISTICS_FILE
from nasrec_automl.errors import DataError

_FILES = frozenset((DESCRIPTION_FILE, PREPROCESSING_FILE, STATISTICS_FILE, "report.html"))
"""What a prepared folder holds beside its arrays; `data report` writes the last one."""


def check_output(output: Path) -> Path:
    """Return the absolute path of a folder that can be written; what a killed swap has left beside it is put back.

    Raises:
        DataError: it cannot, or writing would destroy something that is not a prepared data set.
    """
    output = _checked(output)
    if others := _others(output):
        raise DataError(
            f"{output}: holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}, which would be lost "
            "where the prepared data set is replaced: move what is not part of it, or choose another folder"
        )
    return output


def _checked(output: Path) -> Path:
    """Return what `check_output` does of a folder that is missing, empty or a prepared data set."""
    output = _resolved(output)
    try:
        parent = next(folder for folder in output.parents if folder.exists())
        _is_taken(output)  # asked now, since it may fail
    except OSError as error:
        raise DataError(f"{output}: cannot be looked at ({error.strerror}): choose another folder") from None
    if output.is_mount():  # nothing can be renamed to it
        raise DataError(f"{output}: is a mount point, which a prepared folder cannot replace: name a folder inside it")
    if not parent.is_dir():
        raise DataError(f"{output}: its folder cannot be made, since {parent} is a file: choose another one")
    if not os.access(parent, os.W_OK | os.X_OK):
        reason = "it is on a read-only disk" if is_read_only(parent) else "no permission"
        raise DataError(f"{output}: nothing can be written in {parent} ({reason}): choose another folder")
    _undo_killed_swap(output)
    if _is_taken(output):
        try:
            Description.load(output)
        except DataError:
            raise DataError(
                f"{output}: already there and not a prepared data set, so it stays: choose another folder"
            ) from None
    return output


def check_new_output(output: Path, *, but: Path | None = None) -> Path:
    """Do as `check_output`, but refuse to replace a prepared data set, which runs may be on.

    Args:
        output: folder to write.
        but: a folder that may be replaced.

    Raises:
        DataError: it cannot be written, or a prepared data set is there.
    """
    output = _checked(output)
    if _is_taken(output) and (but is None or _resolved(but) != output):
        raise DataError(
            f"{output}: a prepared data set is already there, so it stays: name another --output, or delete the folder"
        )
    return check_output(output)


def _is_taken(output: Path) -> bool:
    """Say whether something is there, unless it is an empty folder."""
    return output.exists() and not (output.is_dir() and not any(output.iterdir()))


def _others(output: Path) -> list[str]:
    """Return the files in a folder of `_checked` that no preparation, and no report, has written."""
    if not _is_taken(output):
        return []
    shards = [shard for part in Description.load(output).parts.values() for shard in part.shards]
    own = _FILES | {f"{shard.folder}/{name}.npy" for shard in shards for name in shard.checksums}
    # What killed writers have left is hidden, and ends in .partial.
    files = (path for path in output.rglob("*") if not path.is_dir() and not path.match(".*.partial"))
    return sorted({path.relative_to(output).as_posix() for path in files} - own)


def _resolved(output: Path) -> Path:
    """Return an absolute path that has a name, unlike `.` and `..`."""
    try:
        path = output.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{output}: cannot be looked at ({error}): choose another folder") from None
    if not path.name:
        raise DataError(f"{output}: is the root of all folders: choose another folder")
    return path


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Give out an empty folder beside `output` and put it in `output`'s place when the block ends well.

    Args:
        output: what `check_output` returned.

    Raises:
        DataError: its folder cannot be made, or another process is preparing it.
    """
    with beside(output) as folder:
        yield folder
        _swap(folder, output)


@contextmanager
def beside(output: Path) -> Iterator[Path]:
    """Give out an empty folder beside `output`, which is gone afterwards unless the block moved it.

    Raises:
        DataError: it cannot be made, or another process has it.
    """
    output = _resolved(output)
    # One fixed name: what a killed run left is found and cleared by the next one.
    folder = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"{output}: nothing can be written in its folder ({error.strerror}): choose another one"
        ) from None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another process put it in its place just now
        raise _busy(output) from None
    try:
        _lock(descriptor, folder, output)
        try:
            _clear(folder)
            yield folder
        finally:
            # Where it moved, another process may have made the next one of its name.
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, output: Path) -> None:
    try:
        # The kernel releases it when its owner dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(output) from None
    if not folder.exists() or not os.path.samestat(os.fstat(descriptor), folder.stat()):
        raise _busy(output)  # its owner has put it in its place in between


def _busy(output: Path) -> DataError:
    return DataError(f"{output}: another process is preparing it: wait for it or choose another folder")


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _old(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


def _undo_killed_swap(output: Path) -> None:
    """Put back what a process that was killed between the two renames of `_swap` has left aside."""
    old = _old(output)
    if is_prepared(old) and not _is_taken(output):
        with beside(output):  # not while another process is there
            if not _is_taken(output):
                old.rename(output)


def _swap(fresh: Path, output: Path) -> None:
    old = _old(output)
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    fresh.rename(output)
    (old / DESCRIPTION_FILE).unlink(missing_ok=True)  # what a kill leaves of it from here on is not to be put back
    shutil.rmtree(old, ignore_errors=True)
