from __future__ import annotations

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError

from nasrec_automl.errors import StudyError
from nasrec_automl.search.database import database_errors, opening_errors, patiently

URL = "postgresql+psycopg2://me:se%3Fcret@db.example:5432/studies"


def raise_(message: str) -> None:
    raise OperationalError("SELECT 1", {}, Exception(message))


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ('FATAL: password authentication failed for user "me" (se?cret)', "PGPASSWORD"),
        ("could not connect to server: Connection refused", "check the URL"),
        ("database or disk is full", "free some space"),
        ("attempt to write a readonly database", "must be writable"),
        ("database is locked", "PostgreSQL"),
        ("Can't load plugin: sqlalchemy.dialects:postgres", r"before :// write a database .*postgresql\+psycopg2"),
    ],
)
def test_what_happened_and_what_to_do_without_the_password(message: str, advice: str) -> None:
    with pytest.raises(StudyError, match=advice) as caught, database_errors(URL):
        raise_(message)
    text = str(caught.value)
    assert "postgresql+psycopg2://me:***@db.example:5432/studies: " in text
    assert "se?cret" not in text
    assert "\n" not in text


def test_the_cause_of_a_failed_commit_is_said() -> None:
    full = StorageInternalError("An exception is raised during the commit.")
    full.__cause__ = OperationalError("COMMIT", {}, Exception("database or disk is full"))
    with pytest.raises(StudyError, match=r"disk is full; free some space"), database_errors(URL):
        raise full


@pytest.mark.parametrize("error", [ZeroDivisionError, RuntimeError, ImportError])
def test_errors_of_the_block_itself_pass(error: type[Exception]) -> None:
    """A stage's whole work runs in such a block: what its network or its libraries raise is not the database's."""
    with pytest.raises(error, match="no database in it"), database_errors(URL):
        raise error("no database in it")


def test_a_text_that_is_no_url_is_refused_before_the_block() -> None:
    with pytest.raises(StudyError, match="is not a database URL"), database_errors("studies.db"):
        pytest.fail("the block ran")


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, ImportError])
def test_while_a_database_is_opened_they_are_the_databases(error: type[Exception]) -> None:
    with pytest.raises(StudyError, match=r"db\.example"), opening_errors(URL):
        raise error("tables of another version")


def test_calls_within_a_patient_one_do_not_multiply_its_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("nasrec_automl.search.database.time.sleep", waited.append)
    monkeypatch.setattr("nasrec_automl.search.database.connection_lost", lambda storage, error: True)
    storage = RDBStorage("sqlite://")
    for call in (lambda: raise_("gone"), lambda: patiently(storage, lambda: raise_("gone"))):
        waited.clear()
        with pytest.raises(OperationalError):
            patiently(storage, call)
        assert sum(waited) == 120.5
    left = [raise_, raise_, lambda _: 7]
    waited.clear()
    assert patiently(storage, lambda: patiently(storage, lambda: left.pop(0)("gone"))) == 7
    assert waited == [0.5, 1.0]


def test_a_call_within_a_patient_one_is_repeated_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.search.database.time.sleep", lambda _: None)
    monkeypatch.setattr("nasrec_automl.search.database.connection_lost", lambda storage, error: True)
    storage, called = RDBStorage("sqlite://"), []

    def first() -> None:
        called.append("first")
        raise_("gone")

    patiently(storage, lambda: patiently(storage, first, again=lambda: called.append("again")))
    assert called == ["first", "again"]
