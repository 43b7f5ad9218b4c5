"""Opening studies in a SQL database, and checking that they are about what they should be."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from nasrec_automl.errors import StudyError
from nasrec_automl.search.attributes import DASHBOARD, LOG_LOSS, OBJECTIVES, PREFIX, SCHEMA_VERSION, WEIGHTS_HASH
from nasrec_automl.search.database import database_errors, opening_errors, parse_url, patiently
from nasrec_automl.search.folders import network_file_system

Direction = Literal["minimize", "maximize"]

STUDY_SCHEMA = 1
"""Version of what this package writes into studies."""

_OPENINGS, _MOMENT = 10, 0.2
"""How often, and after how many seconds, a database is opened again while another process makes it."""

_TABLES = {
    *("studies", "study_directions", "study_user_attributes", "study_system_attributes", "trials", "trial_params"),
    *("trial_user_attributes", "trial_system_attributes", "trial_values", "trial_intermediate_values"),
    *("trial_heartbeats", "alembic_version"),
}
"""Optuna's tables, but for the one that says its version."""

_SQLITE_TIMEOUT = 120.0
"""Seconds that a worker waits for the others' transactions, each some 50 ms long."""


def open_storage(url: str) -> RDBStorage:
    """Open a database for studies, once a process: later reads are incremental.

    Args:
        url: SQLAlchemy URL. The folder of an SQLite file is made when it is missing.

    Raises:
        StudyError: no such database can be reached, the password is wrong, the driver is missing, or the
            tables are another program's; the message hides the password and says what to do.
    """
    parsed = parse_url(url)
    with opening_errors(url):
        if parsed.get_backend_name() == "sqlite":
            _check_folder(parsed)
            options: dict[str, Any] = {
                "connect_args": {"timeout": _SQLITE_TIMEOUT},
                "pool_events": [(_set_pragmas, "connect")],
            }
        else:
            # A server may have been restarted, or may have closed a connection that an hour of training left
            # idle.
            options = {"pool_pre_ping": True}

        def make() -> RDBStorage:
            _check_tables(parsed)
            # Optuna fills `{SCHEMA_VERSION}` in; any other brace is the user's own.
            return RDBStorage(url.replace("{", "{{").replace("}", "}}"), options)

        return _first_that_works(make)


def open_study(
    storage: BaseStorage,
    *,
    name: str,
    identity: Mapping[str, str],
    objectives: Sequence[str] = (LOG_LOSS,),
    direction: Direction = "minimize",
) -> optuna.Study:
    """Open a study; make it if it is not there.

    Args:
        storage: the database, as from `open_storage`.
        name: of the study.
        identity: what the study is about, such as the space and a fingerprint of the data. Written when the
            study is made (`nasrec:<entry>`), compared ever after.
        objectives: names of its values. Several of them are the study's metric names too, and a part of its identity.
        direction: whether all values are minimised or all are maximised.

    Raises:
        StudyError: the study of this name is about something else; the message names the entry that differs,
            and nothing is written.
    """

    def open_it() -> optuna.Study:
        directions: list[Direction] = [direction] * len(objectives)
        try:  # a database that can only be read has to do for a report
            study = optuna.load_study(storage=storage, study_name=name)
        except KeyError:
            study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        hold_to_identity(study, identity, objectives=objectives, direction=direction)
        if len(objectives) > 1 and study.metric_names != list(objectives):
            with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
                study.set_metric_names(list(objectives))
        return study

    with database_errors(storage):
        return patiently(storage, open_it)


def hold_to_identity(
    study: optuna.Study,
    identity: Mapping[str, str],
    *,
    objectives: Sequence[str] = (LOG_LOSS,),
    direction: Direction = "minimize",
) -> None:
    """Check that a study has the expected identity; write the identity if the study is new.

    Raises:
        StudyError: it is about something else, or has trials of another origin.
    """
    directions = {one.name.lower() for one in study.directions}
    if directions != {direction}:
        raise StudyError(_differs(study, "direction", ", ".join(sorted(directions)), direction))
    written = study.user_attrs
    if len(study.directions) != len(objectives):
        unnamed = LOG_LOSS if len(study.directions) == 1 else f"{len(study.directions)} values"
        named = ", ".join(study.metric_names or [unnamed])
        raise StudyError(_differs(study, OBJECTIVES, named, ", ".join(objectives)))
    if len(objectives) > 1:
        identity = {**identity, OBJECTIVES: ", ".join(objectives)}
    version = written.get(SCHEMA_VERSION)
    if version is None and study.get_trials(deepcopy=False):
        raise StudyError(
            f"the study {study.study_name!r} holds trials that this package did not make; choose another name"
        )
    if isinstance(version, int) and version > STUDY_SCHEMA:
        raise StudyError(
            f"the study {study.study_name!r} was made by a newer version of nasrec-automl (schema {version}, this one "
            f"knows {STUDY_SCHEMA}); update nasrec-automl, or choose another name for the study"
        )
    if version is not None and version != STUDY_SCHEMA:
        raise StudyError(_differs(study, "schema_version", version, STUDY_SCHEMA))
    own = {f"{PREFIX}{entry}" for entry in identity} | {SCHEMA_VERSION, DASHBOARD, WEIGHTS_HASH}
    for name in written:
        if name.startswith(PREFIX) and name not in own:
            raise StudyError(_differs(study, name.removeprefix(PREFIX), written[name], None))
    for entry, expected in identity.items():
        found = written.get(f"{PREFIX}{entry}")
        # Another worker may be making the same study right now: it has written some entries, and the version
        # comes last.
        if found != expected and not (found is None and version is None):
            raise StudyError(_differs(study, entry, found, expected))
    if version is None:
        for entry, expected in identity.items():
            study.set_user_attr(f"{PREFIX}{entry}", expected)
        study.set_user_attr(SCHEMA_VERSION, STUDY_SCHEMA)


def _differs(study: optuna.Study, entry: str, found: object, expected: object) -> str:
    why = {
        "data": " (rows were prepared again or appended since, or are others)",
        "weights": " (a study is of one supernet's scores, or of models that are trained alone)",
    }.get(entry, "")
    return (
        f"the study {study.study_name!r} has {entry} {found!r}, but {expected!r} is expected{why}; "
        "choose another name for the study (of a job: `name`), or another database (`storage`)"
    )


def _check_tables(url: URL) -> None:
    """Check a database before Optuna makes its tables: it would take other tables of the same names for its own.

    Raises:
        AssertionError: there are tables with Optuna's names, but no table of its version, which every database of
            Optuna's has.
    """
    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if "version_info" not in tables and (others := tables & _TABLES):
        names = ", ".join(sorted(others))
        raise AssertionError(f"there are tables named {names} already, which Optuna did not make")


def _first_that_works(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Open a database; try again while another process is making its tables."""
    for _ in range(_OPENINGS - 1):
        try:
            return make()
        except AssertionError:  # Its version is expected beside the tables, where Optuna writes it a moment later.
            time.sleep(_MOMENT)
        except SQLAlchemyError as error:
            if not any(words in str(error).lower() for words in ("already exists", "duplicate", "locked", "unique")):
                raise
            time.sleep(_MOMENT)
    return make()


def _check_folder(url: URL) -> None:
    """Make the folder of an SQLite file; refuse one on a network."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    folder = Path(url.database).resolve().parent
    kind = network_file_system(folder)
    if kind is not None:
        raise StudyError(
            f"{url}: the folder is on a network file system ({kind}), where SQLite's locks do not hold; choose a file "
            "on a disk of this machine, or a PostgreSQL or MySQL server (`storage` in a job)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{url}: cannot make the folder of the database ({error.strerror})") from None


def _set_pragmas(connection: Any, _: Any) -> None:
    # A write-ahead log lets the dashboard read while workers write, and saves most of the waiting for the
    # disk. A process that dies loses nothing; a machine that loses power may lose the last trials, which are
    # then run again.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
