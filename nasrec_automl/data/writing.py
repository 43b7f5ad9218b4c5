"""Writing a prepared folder so that it is whole or not there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasrec_automl.data.description import Description
from nasrec_automl.errors import DataError


def check_output(output: Path) -> None:
    """Raise DataError where writing would destroy something that is not a prepared data set."""
    is_empty = output.is_dir() and not any(output.iterdir())
    if not output.exists() or is_empty:
        return
    try:
        Description.load(output)
    except DataError:
        raise DataError(
            f"{output}: already there and not a prepared data set, so it stays: choose another folder"
        ) from None


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Give out an empty folder beside `output` and put it in `output`'s place when the block ends well.

    Raises:
        DataError: `output` is something else than a prepared data set, or another process is preparing it.
    """
    check_output(output)
    with beside(output) as folder:
        yield folder
        _swap(folder, output)


@contextmanager
def beside(output: Path) -> Iterator[Path]:
    """Give out an empty folder beside `output`, which is gone afterwards unless the block moved it.

    Raises:
        DataError: it cannot be made, or another process has it.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: its folder cannot be made ({error.strerror}): choose another one") from None
    # One fixed name: what a killed run left is found and cleared by the next one.
    folder = output.with_name(f".{output.name}.partial")
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, output)
        try:
            _clear(folder)
            yield folder
        finally:
            # Where it moved, another process may have made the next one of its name.
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, output: Path) -> None:
    try:
        # The kernel releases it when its owner dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{output}: another process is preparing it: wait for it or choose another folder") from None


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _swap(fresh: Path, output: Path) -> None:
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    fresh.rename(output)
    shutil.rmtree(old, ignore_errors=True)
