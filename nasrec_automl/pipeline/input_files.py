"""The files that a job's data are prepared of, and whether they are still the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from nasrec_automl.config_types import paths_of
from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.readers.given import GivenFiles
from nasrec_automl.data.readers.source import FileSource
from nasrec_automl.data.sources import FILE_SOURCES, open_source
from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder

_logger = logging.getLogger(__name__)


def open_job_source(run: RunFolder) -> RawSource:
    """Open the raw data that the job names.

    Raises:
        DataError: as `open_source`.
    """
    config = run.job.data
    return open_source(
        config.source,
        paths_of(config.input),
        validation=paths_of(config.validation),
        test=paths_of(config.test),
        downloads=run.path / "downloads",
        measured=False,
        group=None,
        schema=config.table_schema,
        defaults=config.made_by_default,
        **config.options,
    )


def note_input_files(run: RunFolder) -> None:
    """Note size and time of the files that the data are about to be read of."""
    write_json(run.input_files, _state(_files(run)))


def warn_of_changed_files(run: RunFolder) -> None:
    """Say which files are others than those that were read: the run keeps the rows that it has.

    It is no error. A file may have been touched, or copied with the run to another machine.
    """
    noted = read_json(run.input_files)
    if noted is None:  # the data were prepared before
        return
    noted = {run.found_again(name): state for name, state in noted.items()}
    try:
        files = _files(run)
    except (DataError, OSError):  # some are gone, or the schema is
        files = [Path(name) for name in noted]
    now = _state(files)
    changed = [name for name in sorted({*noted, *now}) if noted.get(name) != now.get(name)]
    if not changed:
        return
    first = changed[0]
    how = "is gone" if first not in now else "is new" if first not in noted else "has changed"
    more = f" (one of {len(changed):,} files that are not as they were)" if len(changed) > 1 else ""
    _logger.warning(
        "%s %s since the data were prepared%s; the run keeps the rows that it has. To train on the files as they are, "
        "use another run_folder; to add later rows, see `prepare --append` and `continues`",
        first,
        how,
        more,
    )


def _files(run: RunFolder) -> list[Path]:
    """The files that the job names; none of rows that are fetched, generated or prepared."""
    config = run.job.data
    if config.source in FILE_SOURCES:
        source = open_job_source(run)
        sources = source.sources if isinstance(source, GivenFiles) else (source,)
        return [path for one in sources if isinstance(one, FileSource) for path in (*one.files, *one.beside)]
    folders = () if config.source == "prepared" else paths_of(config.input)
    return [path for folder in folders for path in folder.iterdir() if path.is_file()]


def _state(files: Sequence[Path]) -> dict[str, list[int]]:
    """Size and time of each, the time in seconds: copies seldom keep more of it."""
    found = {}
    for path in files:
        try:
            state = path.stat()
        except OSError:
            continue
        found[str(path)] = [state.st_size, int(state.st_mtime)]
    return found
