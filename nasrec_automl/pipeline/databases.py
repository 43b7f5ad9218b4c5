"""Databases of studies, each opened once a process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

from nasrec_automl.search import open_storage
from nasrec_automl.search.database import parse_url, patiently


@dataclass
class Database:
    """A database that this process has opened, and the studies that it has read there.

    A study reads what has changed since it read last, but everything at first: minutes, in a tuner that asks for it at
    each decision. So each is kept as it was opened.

    Attributes:
        storage: the database.
        file: which file it is, of SQLite.
        studies: by name.
        lock: held by whoever opens a study.
    """

    storage: RDBStorage
    file: tuple[int, int] | None
    studies: dict[str, optuna.Study] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def known(self, name: str) -> optuna.Study | None:
        """A study that is kept, unless it was deleted since, or made anew."""
        study = self.studies.get(name)
        return study if study is not None and patiently(self.storage, partial(_is_still, study, self.storage)) else None

    def has_trials(self, name: str) -> bool:
        """Whether there is a study of this name, with a trial."""
        return patiently(self.storage, partial(_has_trials, self.storage, name))


_opened: dict[str, Database] = {}
_OPENING = threading.Lock()
"""Two threads would open a database each."""


def open_database(url: str) -> Database:
    """The database, opened once a process.

    Again, where its file is another one: a run folder may be deleted in a notebook that goes on.
    """
    with _OPENING:
        if url in _opened:
            opened = _opened[url]
            if opened.file == _file_of(url):
                return opened
            opened.storage.remove_session()
            opened.storage.engine.dispose()
        storage = open_storage(url)
        _opened[url] = Database(storage, _file_of(url))
        return _opened[url]


def study_storage(url: str) -> RDBStorage:
    """The storage of `open_database`, as Optuna takes it."""
    return open_database(url).storage


def is_made(url: str) -> bool:
    """Whether there is a database to open: opening one of SQLite makes its file."""
    parsed = parse_url(url)
    file = parsed.database if parsed.get_backend_name() == "sqlite" else None
    # What is in memory, or named as SQLite's own URL, is found out by opening it.
    return not file or file == ":memory:" or file.startswith("file:") or Path(file).is_file()


def _has_trials(storage: RDBStorage, name: str) -> bool:
    try:
        storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(name), 0)
    except KeyError:
        return False
    return True


def _is_still(study: optuna.Study, storage: RDBStorage) -> bool:
    """Whether a study that was opened before is still this one, and not deleted, or made anew under the same ids."""
    try:
        study_id = storage.get_study_id_from_name(study.study_name)
        trials = study.get_trials(deepcopy=False)
        first = storage.get_trial_id_from_study_id_trial_number(study_id, 0) if trials else None
        return first is None or storage.get_trial(first).datetime_start == trials[0].datetime_start
    except KeyError:
        return False


def _file_of(url: str) -> tuple[int, int] | None:
    """What tells the file of an SQLite database from every other one that there is now."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or not Path(parsed.database).is_file():
        return None
    found = Path(parsed.database).stat()
    return found.st_dev, found.st_ino
