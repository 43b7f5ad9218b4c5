"""Small files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data import files
from nasrec_automl.errors import RunFolderError


def write_text(path: Path, text: str) -> None:
    """Write beside and rename.

    Raises:
        RunFolderError: the disk is full, or the folder is not writable; what was there before stays.
    """
    with _in_a_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)


def write_json(path: Path, value: Any) -> None:
    """Write beside and rename."""
    write_text(path, _text(value))


def write_json_once(path: Path, value: Any) -> None:
    """Write beside and link: of processes that write one file at once the first one's stays, so read it again.

    Raises:
        RunFolderError: the disk is full, or the folder is not writable.
    """
    beside = files.beside_of(path)
    with _in_a_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(_text(value), encoding="utf-8")
            try:
                os.link(beside, path)
            except FileExistsError:
                pass  # another process was first
            except OSError:  # a file system without links, where the last one's stays
                beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write beside and rename, in NumPy's format.

    Raises:
        RunFolderError: the disk is full, or the folder is not writable.
    """
    with _in_a_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.written_beside(path) as beside, beside.open("wb") as file:
            np.save(file, array)


def newest(paths: Iterable[Path]) -> int:
    """When the newest of some files was written, in nanoseconds; 0 where there is none."""
    times = [0]
    for path in paths:
        with suppress(FileNotFoundError):  # another process has just deleted it
            times.append(path.stat().st_mtime_ns)
    return max(times)


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; nothing where there is no file.

    Raises:
        RunFolderError: it is not whole, as where the machine lost its power.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise RunFolderError(
            f"{path}: is not whole; the machine may have gone down while it was written. Restore it, or use another "
            "run_folder (top.json, finished.json and final.json are also made anew where they are missing)"
        ) from None


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run's: others may hold a file of the job's name."""
    return (path / "job.json").is_file() and (path / "stages").is_dir()


def check_output_folder(folder: Path) -> None:
    """Check, before anything is computed, that files can be written into a folder, which may still have to be made.

    Raises:
        RunFolderError: they cannot, or it is a run's own.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise RunFolderError(f"{folder}: cannot be written, since {there} is no folder: choose another one")
    whole = folder.resolve()
    for run in (whole, *whole.parents):
        if is_run_folder(run) and run / "models" not in whole.parents:
            raise RunFolderError(
                f"{folder}: belongs to the run in {run}, whose stages keep their own files there: choose a folder in "
                f"{run / 'models'}, or elsewhere"
            )
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunFolderError(f"{folder}: cannot be written, since nothing can be made in {there}: choose another one")


def _text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


@contextmanager
def _in_a_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror or error}); mend it and start again: what has finished is kept"
        ) from None
