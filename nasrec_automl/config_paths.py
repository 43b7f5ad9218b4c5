"""Where the paths of a job lead: from its file's folder, or from a run folder that was moved with its project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasrec_automl.config_types import path_from, paths_of
from nasrec_automl.errors import JobError

if TYPE_CHECKING:
    from nasrec_automl.config import Job

Found = Callable[[str | Path], Path]


def absolute(job: Job, base: Path) -> Job:
    """The job with absolute paths.

    Args:
        job: with paths as its file has them.
        base: folder of the job file.

    Raises:
        JobError: the URL of an SQLite file looks as if it was meant to be absolute, and is not.
    """

    def found(path: str | Path) -> Path:
        return path_from(base, path).resolve()

    def found_data(path: str | Path) -> Path:
        # A link to a file keeps its name, whose ending says what the file is: caches name the file itself by a hash.
        whole = path_from(base, path)
        return whole.resolve() if whole.is_dir() else whole.parent.resolve() / whole.name

    folder = found(job.run_folder if "run_folder" in job.model_fields_set else Path("runs") / job.name)
    return _with_paths(job, folder, found, found_data)


def moved(job: Job, folder: Path) -> Job:
    """The job of a run folder that lies elsewhere now: what was moved or copied with it is there, all else as it was.

    Args:
        job: with absolute paths, as the folder notes it.
        folder: where the run folder is.
    """
    if folder == job.run_folder:
        return job

    def found(path: str | Path) -> Path:
        return found_again(path, job.run_folder, folder)

    return _with_paths(job, folder, found, found)


def found_again(path: str | Path, before: str | Path, folder: Path) -> Path:
    """Where a path leads that was noted in another place: moved with the run folder, or where it was.

    Args:
        path: absolute.
        before: where the run folder was.
        folder: where it is.
    """
    there = Path(os.path.normpath(folder / os.path.relpath(path, before)))
    return there if there.exists() or not Path(path).exists() else Path(path)


def url_from(url: str, found: Found) -> str:
    """The URL of an SQLite file with an absolute path, in which what means something in a URL is escaped.

    Any other as it is: whoever opens the studies says what is wrong with it.
    """
    from sqlalchemy.engine import make_url  # here: not all that reads a job opens its studies
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url
    if parsed.get_backend_name() != "sqlite" or not parsed.database or ":memory:" in parsed.database:
        return url
    path = found(parsed.database)
    if _meant_as_absolute(parsed.database, path):
        raise JobError(
            f"storage: {url!r} is relative, so that the studies would be in {path}: write sqlite:////{parsed.database} "
            f"with four slashes for /{parsed.database}, or sqlite:///./{parsed.database}"
        )
    return parsed.set(database=str(path)).render_as_string()


def _with_paths(job: Job, folder: Path, found: Found, found_data: Found) -> Job:
    updates: dict[str, Any] = {"run_folder": folder}
    of_data: dict[str, Any] = {}
    for name in ("input", "validation", "test", "table_schema"):
        paths = tuple(map(found_data, paths_of(getattr(job.data, name))))
        if paths:
            of_data[name] = paths if len(paths) > 1 else paths[0]
    updates["data"] = job.data.model_copy(update=of_data)
    if job.continues is not None:
        updates["continues"] = found(job.continues)
    if job.experiment.machines:
        updates["experiment"] = job.experiment.model_copy(
            update={
                "machines": tuple(
                    machine.model_copy(update={"ssh_key_file": found(machine.ssh_key_file)})
                    for machine in job.experiment.machines
                )
            }
        )
    if job.space.endswith((".yaml", ".yml")):
        updates["space"] = str(found(job.space))
    if job.storage is not None:
        updates["storage"] = url_from(job.storage, found)
    return job.model_copy(update=updates)


def _meant_as_absolute(database: str, path: Path) -> bool:
    """Whether a relative path begins as one of this machine's does, and nothing is there yet where it leads."""
    if database.startswith((".", "/", "~")) or path.parent.is_dir():
        return False
    first, *others = Path(database).parts
    return bool(others) and (Path("/") / first).is_dir()
