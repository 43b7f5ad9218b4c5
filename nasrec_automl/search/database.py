"""Errors of a study's database, as sentences that a user can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from nasrec_automl.errors import StudyError

_PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "mysql": "mysql-connector-python",
}
"""What to install for a driver's module."""

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between two attempts to reach a server that has gone: two minutes, as long as a restart may take."""

_WAITED = "waited for the server"
"""A note of an error for whose end a call has waited in vain: a call around it does not wait once more."""

_Result = TypeVar("_Result")


def parse_url(url: str) -> URL:
    """Read a SQLAlchemy URL.

    Raises:
        StudyError: the text is no URL.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # The text is not repeated: what cannot be parsed may hold a password anywhere.
        raise StudyError(
            "the storage is not a database URL: expected something like sqlite:////folder/studies.db "
            "or postgresql+psycopg2://user:password@host:5432/database"
        ) from None


@contextmanager
def database_errors(storage: BaseStorage | str) -> Iterator[None]:
    """Turn what a database raises inside the block into a `StudyError` that hides the password.

    Args:
        storage: the database, or its SQLAlchemy URL.

    Raises:
        StudyError: the database cannot be used, or (before the block) the text is no URL.
    """
    url = _url(storage)
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StudyError(_sentence(url, error)) from error


@contextmanager
def opening_errors(url: str) -> Iterator[None]:
    """Like `database_errors`, for a block that only opens a database: there, other errors come from it too."""
    parsed = parse_url(url)
    try:
        with database_errors(url):
            yield
    except ImportError as error:
        raise StudyError(_missing_driver(parsed, error)) from error
    except (RuntimeError, AssertionError) as error:
        # Optuna's words for tables of another version, and for tables that are not its own.
        raise StudyError(_sentence(parsed, error)) from error


def patiently(
    storage: BaseStorage, call: Callable[[], _Result], *, again: Callable[[], _Result] | None = None
) -> _Result:
    """Call a function that uses a database, and repeat the call if the database's server broke the connection.

    Calls are repeated for two minutes: the server may be restarting, or may have broken a deadlock of two transactions.
    Where a call within such a call has waited in vain, that was all.

    Args:
        storage: the database.
        call: what to call; it may have written all that it writes, or nothing, when its connection broke.
        again: what to call from the second time on, where that differs.

    Raises:
        Exception: whatever the function raises: a broken connection after two minutes, any other error at once.
    """
    for pause in (*_PAUSES, None):
        try:
            return call()
        except (SQLAlchemyError, StorageInternalError) as error:
            if _WAITED in getattr(error, "__notes__", ()) or not connection_lost(storage, error):
                raise
            if pause is None:
                error.add_note(_WAITED)
                raise
        time.sleep(pause)
        call = again or call
    raise AssertionError("the last call returns or raises")


def connection_lost(storage: BaseStorage, error: BaseException) -> bool:
    """Whether an error says that a database's server went away in the middle, so that a second try may work."""
    url = _url(storage)
    error = _database_error(error)
    if url is None or url.get_backend_name() == "sqlite":
        return False
    if isinstance(error, PendingRollbackError):
        # Optuna reads trials a second time in the session whose connection broke; SQLAlchemy says no more than that.
        return True
    if not isinstance(error, DBAPIError):
        return False
    # A full disk and a changed password are operational errors too, which a second try does not mend.
    return error.connection_invalidated or (
        isinstance(error, OperationalError | InterfaceError) and _advice_on(error.orig or error) is None
    )


def shown_url(url: str) -> str:
    """The URL with its password hidden."""
    return parse_url(url).render_as_string(hide_password=True)


def _missing_driver(url: URL, error: ImportError) -> str:
    origin = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    module = (origin.name or url.get_driver_name()).split(".")[0]
    return (
        f"{_shown(url)}: the database driver {module!r} is not installed; "
        f"install it with `pip install {_PACKAGES.get(module, module)}`"
    )


def _shown(url: URL | None) -> str:
    return "the study's storage" if url is None else url.render_as_string(hide_password=True)


def _url(storage: BaseStorage | str) -> URL | None:
    """The URL of a database; None of a storage that has none, such as one in memory."""
    if isinstance(storage, str):
        return parse_url(storage)
    return make_url(storage.url) if isinstance(storage, RDBStorage) else None


def _sentence(url: URL | None, error: BaseException) -> str:
    error = _database_error(error)
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    reason = " ".join(str(error).split()).rstrip(".") or "its tables are not as expected"
    if url is not None and url.password:
        reason = reason.replace(str(url.password), "***")
    return f"{_shown(url)}: {reason}; {_advice_on(error) or _ADVICE_ELSE}"


def _database_error(error: BaseException) -> BaseException:
    """The error of the database itself: Optuna wraps the one that a commit raised."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _advice_on(error: BaseException) -> str | None:
    text = f"{type(error).__name__} {' '.join(str(error).split())}".lower()
    return next((advice for words, advice in _ADVICE.items() if any(word in text for word in words)), None)


_ADVICE_ELSE = "check the URL, and that the database is there and may be written to"

_OTHER_TABLES = "the tables in it were made by another program: choose another database"

_ADVICE: dict[tuple[str, ...], str] = {
    ("password", "access denied", "authentication"): (
        "check the user in the URL, and the password there or where the driver looks for one (PostgreSQL's: "
        "PGPASSWORD, ~/.pgpass)"
    ),
    ("is full", "no space left"): "free some space and start again: nothing that has finished is lost",
    ("readonly", "read-only", "permission"): "it must be writable for this user",
    ("is locked",): "another program holds a lock on the file: close it, or use PostgreSQL for many workers",
    ("not a database", "malformed"): "the file is not an SQLite database: choose another one",
    ("no such column", "no column named", "no such table", "unknown column"): _OTHER_TABLES,  # SQLite, MySQL
    ("undefinedtable", "undefinedcolumn", "assertionerror"): _OTHER_TABLES,  # PostgreSQL, Optuna
    ("can't load plugin",): (
        "before :// write a database that SQLAlchemy knows: sqlite, postgresql+psycopg2, mysql+pymysql or another"
    ),
    ("optuna storage upgrade", "updating optuna"): "it was made with another version of Optuna",
}
"""Words of drivers, and what to do; the first that fits."""
