from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from nasrec_automl.errors import StudyError
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from nasrec_automl.search import storage as storage_module
from nasrec_automl.space import SearchSpace
from tests.search.search_worker import score

IDENTITY = {"space": "two-blocks", "data": "abc"}


def test_the_folder_is_made_and_braces_are_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "a {new} folder" / "studies.db"
    open_study(open_storage(f"sqlite:///{path}"), name="search", identity=IDENTITY)
    assert path.is_file()


def test_identity_is_written_once_and_readable_by_plain_optuna(url: str) -> None:
    open_study(open_storage(url), name="search", identity=IDENTITY)
    study = optuna.load_study(study_name="search", storage=url)
    assert study.user_attrs == {
        "nasrec:space": "two-blocks",
        "nasrec:data": "abc",
        "nasrec:schema_version": 1,
    }


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ({"space": "two-blocks", "data": "other"}, "data 'abc', but 'other'"),
        ({"space": "other", "data": "abc"}, "space 'two-blocks', but 'other'"),
        ({**IDENTITY, "supernet": "x"}, "supernet None, but 'x'"),
        ({"space": "two-blocks"}, "data 'abc', but None"),
    ],
)
def test_another_identity_is_refused_and_nothing_is_written(url: str, identity: dict[str, str], named: str) -> None:
    before = open_study(open_storage(url), name="search", identity=IDENTITY).user_attrs
    with pytest.raises(StudyError, match=named):
        open_study(open_storage(url), name="search", identity=identity)
    assert optuna.load_study(study_name="search", storage=url).user_attrs == before


def test_another_direction_is_refused(url: str) -> None:
    optuna.create_study(study_name="search", storage=url, direction="maximize")
    with pytest.raises(StudyError, match="direction 'maximize', but 'minimize'"):
        open_study(open_storage(url), name="search", identity=IDENTITY)
    assert optuna.load_study(study_name="search", storage=url).user_attrs == {}


def test_another_number_of_values_is_refused(url: str) -> None:
    optuna.create_study(study_name="search", storage=url, directions=["minimize", "minimize"])
    with pytest.raises(StudyError, match="objectives '2 values', but 'log_loss' is expected"):
        open_study(open_storage(url), name="search", identity=IDENTITY)


SEVERAL = ("log_loss", "macs")


def test_several_objectives_are_named_and_minimised(url: str) -> None:
    open_study(open_storage(url), name="search", identity=IDENTITY, objectives=SEVERAL)
    study = optuna.load_study(study_name="search", storage=url)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["log_loss", "macs"]
    assert study.user_attrs["nasrec:objectives"] == "log_loss, macs"
    again = open_study(open_storage(url), name="search", identity=IDENTITY, objectives=SEVERAL)
    assert again.user_attrs == study.user_attrs


@pytest.mark.parametrize(
    ("made", "opened"),
    [
        (("log_loss",), SEVERAL),
        (SEVERAL, ("log_loss",)),
        (SEVERAL, ("log_loss", "parameters")),
        (SEVERAL, SEVERAL[::-1]),
    ],
)
def test_other_objectives_are_refused_by_name(url: str, made: tuple[str, ...], opened: tuple[str, ...]) -> None:
    before = open_study(open_storage(url), name="search", identity=IDENTITY, objectives=made).user_attrs
    with pytest.raises(StudyError, match=f"objectives '{', '.join(made)}', but '{', '.join(opened)}' is expected"):
        open_study(open_storage(url), name="search", identity=IDENTITY, objectives=opened)
    assert optuna.load_study(study_name="search", storage=url).user_attrs == before


def test_a_newer_schema_is_refused(url: str) -> None:
    study = open_study(open_storage(url), name="search", identity=IDENTITY)
    study.set_user_attr("nasrec:schema_version", 2)
    with pytest.raises(StudyError, match=r"newer version .*schema 2, this one knows 1.; update nasrec-automl"):
        open_study(open_storage(url), name="search", identity=IDENTITY)


def test_a_study_is_opened_where_it_can_only_be_read(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    open_study(open_storage(f"sqlite:///{path}"), name="search", identity=IDENTITY)
    only_read = open_storage(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert open_study(only_read, name="search", identity=IDENTITY).study_name == "search"
    with pytest.raises(StudyError, match="readonly"):
        open_study(only_read, name="another", identity=IDENTITY)


def test_a_study_that_another_process_is_just_making_is_completed(url: str) -> None:
    study = optuna.create_study(study_name="search", storage=url)
    study.set_user_attr("nasrec:space", "two-blocks")
    assert open_study(open_storage(url), name="search", identity=IDENTITY).user_attrs["nasrec:data"] == "abc"


def test_a_study_with_trials_of_another_origin_is_refused(url: str) -> None:
    study = optuna.create_study(study_name="search", storage=url)
    study.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(StudyError, match="this package did not make"):
        open_study(open_storage(url), name="search", identity=IDENTITY)


def test_a_worker_waits_for_the_others_transactions(url: str, tmp_path: Path) -> None:
    study = open_study(open_storage(url), name="search", identity=IDENTITY)
    other = sqlite3.connect(tmp_path / "studies.db", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    study.set_user_attr("mine", 1)
    assert study.user_attrs["mine"] == 1
    other.close()


def test_a_database_that_another_process_is_just_making(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [AssertionError(), OperationalError("CREATE TABLE", {}, Exception("table studies already exists"))]

    def make(*arguments: Any, **options: Any) -> RDBStorage:
        if errors:
            raise errors.pop()
        return RDBStorage(*arguments, **options)

    monkeypatch.setattr(storage_module, "RDBStorage", make)
    assert open_storage(url).get_all_studies() == []


def test_no_url() -> None:
    with pytest.raises(StudyError, match="not a database URL"):
        open_storage("studies.db")


def test_a_missing_driver_is_named_with_its_package() -> None:
    with pytest.raises(StudyError, match=r"pip install oracledb") as caught:
        open_storage("oracle+oracledb://me:secret@localhost/db")
    assert "secret" not in str(caught.value)


def test_an_unknown_database_is_named() -> None:
    with pytest.raises(StudyError, match="nosuch"):
        open_storage("nosuch://me:secret@localhost/db")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header\n" * 20)
    before = path.read_bytes()
    with pytest.raises(StudyError, match="not an SQLite database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unable to open database file"):
        open_storage(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="cannot make the folder"):
        open_storage(f"sqlite:///{tmp_path / 'file' / 'deeper' / 'studies.db'}")


def test_tables_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE studies (title TEXT)")
    with pytest.raises(StudyError, match="made by another program"):
        open_study(open_storage(f"sqlite:///{path}"), name="search", identity=IDENTITY)


def test_a_study_may_maximise_and_stays_so(storage: RDBStorage) -> None:
    study = open_study(storage, name="tune", identity={}, direction="maximize")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert open_study(storage, name="tune", identity={}, direction="maximize").study_name == "tune"
    with pytest.raises(StudyError, match="direction 'maximize', but 'minimize' is expected"):
        open_study(storage, name="tune", identity={})


def test_a_file_on_a_network_folder_is_refused(tmp_path: Path, mounted: Callable[..., None]) -> None:
    mounted(("/", "ext4"), (str(tmp_path / "home"), "nfs4"))
    with pytest.raises(StudyError, match=r"network file system .nfs4.*; choose a file on a disk of this machine"):
        open_storage(f"sqlite:///{tmp_path / 'home' / 'me' / 'studies.db'}")
    assert not (tmp_path / "home").exists()
    open_storage(f"sqlite:///{tmp_path / 'studies.db'}")


def test_a_full_disk_ends_the_worker_and_loses_nothing(url: str, space: SearchSpace) -> None:
    def run(storage: RDBStorage, target: int) -> int:
        study = open_study(storage, name="search", identity=IDENTITY)
        sampler = RegularizedEvolutionSampler(space=space, population_size=8, tournament_size=4, children=4)
        return search(study, space, score, storage=storage, sampler=sampler, target=target)

    def finished() -> list[tuple[object, ...]]:
        trials = optuna.load_study(study_name="search", storage=url).get_trials(states=(TrialState.COMPLETE,))
        return [(trial.number, trial.params, trial.value, trial.user_attrs) for trial in trials]

    storage = open_storage(url)
    assert run(storage, 3) == 3
    with storage.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    event.listen(storage.engine, "connect", lambda made, _: made.execute(f"PRAGMA max_page_count = {pages + 4}"))
    storage.engine.dispose()
    with pytest.raises(StudyError, match="disk is full; free some space and start again: nothing"):
        run(storage, 200)
    kept = finished()
    assert 3 <= len(kept) < 200
    storage.engine.dispose()
    assert run(open_storage(url), len(kept) + 2) == 2
    assert finished()[: len(kept)] == kept
