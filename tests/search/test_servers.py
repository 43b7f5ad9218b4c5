"""Studies in the databases of servers: what differs from SQLite, and what a restart does."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from nasrec_automl.search import database as database_module
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.scoring import ArchitectureSource
from nasrec_automl.search.task import Proposal, TrialOutcome
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import tiny_schema
from tests.search.search_worker import score

IDENTITY = {"space": "two-blocks"}


@pytest.fixture(params=["postgres_url", pytest.param("mariadb_url", marks=pytest.mark.mysql)])
def server_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def run(storage: RDBStorage, space: SearchSpace, target: int, **options: Any) -> int:
    study = open_study(storage, name="search", identity=IDENTITY)
    sampler = RegularizedEvolutionSampler(space=space, population_size=8, tournament_size=4, children=4)
    evaluate: Callable[[Architecture], Any] = options.pop("evaluate", score)
    return search(study, space, evaluate, storage=storage, sampler=sampler, target=target, **options)


def test_a_search_is_the_same_as_on_sqlite(server_url: str, space: SearchSpace, storage: RDBStorage) -> None:
    outcomes = []
    for database in (storage, open_storage(server_url)):
        assert run(database, space, 24) == 24
        trials = optuna.load_study(study_name="search", storage=database).get_trials()
        outcomes.append([(trial.params, trial.value, trial.user_attrs["nasrec:auc"]) for trial in trials])
    assert outcomes[0] == outcomes[1]


def test_long_texts_and_exact_numbers(server_url: str, space: SearchSpace) -> None:
    storage = open_storage(server_url)
    study = open_study(storage, name="search", identity=IDENTITY)
    ledger = Ledger(study, storage)
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    note, value = "ä line\n" * 5000, math.nextafter(0.45, 1)  # MySQL's TEXT has room for 65,535 bytes of JSON
    ledger.finish(ledger.trials()[0], TrialOutcome(state=TrialState.COMPLETE, value=value, attrs={"note": note}))
    (trial,) = optuna.load_study(study_name="search", storage=server_url).get_trials()
    assert trial.value == value
    assert trial.user_attrs["nasrec:note"] == note


def test_a_reservation_sees_what_others_have_committed(server_url: str, space: SearchSpace) -> None:
    """Also where the server would show a transaction an older state: MySQL's isolation level is REPEATABLE READ."""
    storages = [open_storage(server_url) for _ in range(2)]
    studies = [open_study(storage, name="search", identity=IDENTITY) for storage in storages]
    ledgers = [Ledger(study, storage) for study, storage in zip(studies, storages, strict=True)]
    source = ArchitectureSource(studies[0], space, first=[])
    proposal = Proposal(space.random(np.random.default_rng(0)).params)
    for ledger in ledgers:
        assert ledger.trials() == []
    mine, before_mine = ledgers[0].reserve(source, proposal, {}, worker="a")
    theirs, before_theirs = ledgers[1].reserve(source, proposal, {}, worker="b")
    assert [mine.number, theirs.number] == [0, 1]
    assert before_mine == []
    assert [trial.user_attrs["nasrec:worker"] for trial in before_theirs] == ["a"]
    assert ledgers[0].finish(mine, TrialOutcome(state=TrialState.COMPLETE, value=0.5))
    assert [trial.state for trial in ledgers[1].trials()] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_restarted_server_is_waited_for(postgres: Any, postgres_url: str, space: SearchSpace) -> None:
    storage = open_storage(postgres_url)
    scored = 0

    def evaluate(architecture: Architecture) -> Any:
        nonlocal scored
        scored += 1
        if scored == 3:
            # As a crash: connections break, and for a while nobody answers.
            os.kill(postgres.get_pid(), signal.SIGQUIT)
            threading.Timer(1.5, postgres.ensure_postgres_running).start()
        return score(architecture)

    assert run(storage, space, 6, evaluate=evaluate) == 6
    trials = optuna.load_study(study_name="search", storage=postgres_url).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert scored == 6


def test_a_connection_that_breaks_in_a_trial(postgres: Any, postgres_url: str, space: SearchSpace) -> None:
    storage = open_storage(postgres_url)
    broken = False

    def evaluate(architecture: Architecture) -> Any:
        nonlocal broken
        if not broken:
            broken = True
            with storage.engine.connect() as connection:
                me = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
                postgres.psql(f"SELECT pg_terminate_backend({me})")
                connection.execute(text("SELECT 1"))
        return score(architecture)

    assert run(storage, space, 2, evaluate=evaluate) == 2
    first, *rest = optuna.load_study(study_name="search", storage=postgres_url).get_trials()
    assert first.state == TrialState.FAIL
    assert first.user_attrs["nasrec:failure"] == "interrupted"
    assert rest[0].params == first.params
    assert [trial.state for trial in rest] == [TrialState.COMPLETE] * 2


@pytest.fixture
def ledger(postgres_url: str) -> Ledger:
    storage = open_storage(postgres_url)
    return Ledger(open_study(storage, name="search", identity=IDENTITY), storage)


def test_a_connection_that_breaks_while_trials_are_read(
    postgres: Any, ledger: Ledger, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna reads them once more in the session that broke, which fails in another way."""
    monkeypatch.setattr(database_module, "_PAUSES", (0.01, 0.01))
    source = ArchitectureSource(ledger.study, space, first=[])
    trial, _ = ledger.reserve(source, Proposal(space.random(np.random.default_rng(0)).params), {}, worker="a")
    broken = False

    @event.listens_for(ledger.storage.engine, "before_cursor_execute")  # type: ignore[attr-defined]
    def break_once(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal broken
        if not broken and "trial_user_attributes" in statement:
            broken = True
            me = connection.connection.dbapi_connection.info.backend_pid
            postgres.psql(f"SELECT pg_terminate_backend({me})")

    assert [found.number for found in ledger.trials()] == [trial.number]
    assert broken


def after_the_commit(call: Callable[..., Any]) -> Callable[..., Any]:
    """What a call does whose connection breaks once, when everything is written."""
    broken = False

    def calling(*arguments: Any, **named: Any) -> Any:
        nonlocal broken
        result = call(*arguments, **named)
        if not broken:
            broken = True
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))
        return result

    return calling


def test_a_write_whose_answer_was_lost_is_made_once(
    ledger: Ledger, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.study, "add_trial", after_the_commit(ledger.study.add_trial))
    monkeypatch.setattr(
        ledger.storage, "set_trial_state_values", after_the_commit(ledger.storage.set_trial_state_values)
    )
    source = ArchitectureSource(ledger.study, space, first=[])
    proposal = Proposal(space.random(np.random.default_rng(0)).params)
    trial, before = ledger.reserve(source, proposal, {}, worker="a")
    assert (trial.number, before) == (0, [])
    assert ledger.finish(trial, TrialOutcome(state=TrialState.COMPLETE, value=0.5)), "it counts as this worker's"
    assert [trial.state for trial in ledger.trials()] == [TrialState.COMPLETE]


def test_an_enqueued_trial_is_adopted_where_every_answer_was_lost_once(
    ledger: Ledger, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_PAUSES", (0.01, 0.01))
    for name in ("set_trial_state_values", "set_trial_user_attr", "set_trial_param", "set_trial_system_attr"):
        monkeypatch.setattr(ledger.storage, name, after_the_commit(getattr(ledger.storage, name)))
    source = ArchitectureSource(ledger.study, space, first=[], budget=Budget(tiny_schema(), macs=10**9))
    params = space.random(np.random.default_rng(0)).params
    optuna.load_study(study_name="search", storage=ledger.storage).enqueue_trial(params)
    trial = ledger.adopt(ledger.trials()[0], source, worker="a")
    assert trial is not None
    assert (trial.state, trial.params) == (TrialState.RUNNING, params)
    assert trial.user_attrs["nasrec:worker"] == "a"
    assert trial.constraints.keys() == {"macs"}
    assert ledger.adopt(ledger.trials()[0], source, worker="b") is None


def test_a_trial_that_optuna_has_added_twice(
    ledger: Ledger, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ledger.study.add_trial
    monkeypatch.setattr(ledger.study, "add_trial", lambda trial: (add(trial), add(trial)))
    source = ArchitectureSource(ledger.study, space, first=[])
    trial, _ = ledger.reserve(source, Proposal(space.random(np.random.default_rng(0)).params), {}, worker="a")
    assert trial.number == 0
    first, second = ledger.trials()
    assert (first.state, second.state) == (TrialState.RUNNING, TrialState.FAIL)
    assert second.user_attrs["nasrec:failure"] == "abandoned"


def test_a_server_that_stays_away_ends_the_worker(
    postgres: Any, postgres_url: str, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_PAUSES", (0.1, 0.1))
    storage = open_storage(postgres_url)

    def evaluate(architecture: Architecture) -> Any:
        postgres.stop()
        return score(architecture)

    try:
        with pytest.raises(StudyError, match=r"^postgresql\+psycopg2://.*; check the URL, and that the database is"):
            run(storage, space, 2, evaluate=evaluate)
    finally:
        postgres.ensure_postgres_running()
    # Once it is back, another worker goes on.
    assert run(open_storage(postgres_url), space, 2) == 2


@pytest.fixture
def guarded(postgres: Any, postgres_url: str) -> str:
    """URL of a user whose password is `right`."""
    rules = postgres.pgdata / "pg_hba.conf"
    if "guarded" not in rules.read_text():
        rules.write_text(f"local all guarded scram-sha-256\n{rules.read_text()}")
        postgres.psql("CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'right'; SELECT pg_reload_conf()")
    url = postgres_url.replace("postgres:@", "guarded:right@")
    deadline = time.monotonic() + 30
    while _may_enter(url.replace("right", "wrong")):  # the server reads its rules again when it comes to it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return url


def _may_enter(url: str) -> bool:
    engine = create_engine(url, poolclass=NullPool)
    try:
        engine.connect().close()
    except OperationalError:
        return False
    return True


def test_a_wrong_password(guarded: str) -> None:
    open_study(guarded, name="search", identity=IDENTITY)
    with pytest.raises(StudyError, match="check the user in the URL") as caught:
        open_storage(guarded.replace("right", "wr0ng"))
    assert "password authentication failed" in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_database_that_is_not_there(server_url: str) -> None:
    with pytest.raises(StudyError, match="check the URL, and that the database is there") as caught:
        open_storage(server_url.replace("studies_", "other_"))
    assert "other_" in str(caught.value)


@pytest.mark.parametrize(
    "unreachable",
    ["postgresql+psycopg2://me:s3cret@127.0.0.1:1/x", "mysql+pymysql://me:s3cret@127.0.0.1:1/x"],
)
def test_a_server_that_is_not_there_is_told_at_once(unreachable: str) -> None:
    began = time.monotonic()
    with pytest.raises(StudyError, match=r"refused.*; check the URL") as caught:
        open_storage(unreachable)
    assert "s3cret" not in str(caught.value)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("driver", "module", "package"),
    [("postgresql+psycopg", "psycopg", r"psycopg\[binary\]"), ("mysql", "MySQLdb", "mysqlclient")],
)
def test_a_driver_that_is_not_installed(
    driver: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not, where it is
    with pytest.raises(StudyError, match=f"pip install {package}`"):
        open_storage(f"{driver}://me:s3cret@127.0.0.1:1/x")


@pytest.mark.parametrize(
    "table",
    [
        "studies (title VARCHAR(9))",
        "trials (trial_id INTEGER, colour VARCHAR(9))",
        "alembic_version (version_num VARCHAR(32))",
    ],
)
def test_tables_of_another_program_are_left_alone(server_url: str, table: str) -> None:
    engine = create_engine(server_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table}"))
    with pytest.raises(StudyError, match="were made by another program: choose another database"):
        open_study(open_storage(server_url), name="search", identity=IDENTITY)
    assert inspect(engine).get_table_names() == [table.split()[0]]
    engine.dispose()
