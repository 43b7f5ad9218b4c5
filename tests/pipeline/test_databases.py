"""Databases of studies: opened once, and again where they are others."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from nasrec_automl.pipeline import databases
from nasrec_automl.pipeline.databases import is_made, open_database, study_storage


def test_threads_share_a_database_that_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def slowly(url: str) -> object:
        opened.append(url)
        time.sleep(0.2)
        return object()

    monkeypatch.setattr(databases, "open_storage", slowly)
    monkeypatch.setattr(databases, "_opened", {})
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(study_storage, [url, url])
    assert first is second
    assert opened == [url]


def test_a_database_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    before = study_storage(url)
    optuna.create_study(storage=before)
    assert study_storage(url) is before
    for path in tmp_path.iterdir():
        path.unlink()
    assert study_storage(url).get_all_studies() == []
    assert (tmp_path / "studies.db").is_file()


def test_to_ask_for_a_database_makes_no_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    assert not is_made(url)
    study_storage(url)
    assert is_made(url)
    for other in ("postgresql://me@nowhere/studies", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"):
        assert is_made(other), "whether it is there is found out by opening it"


def test_a_database_says_what_it_has_and_knows_a_study_until_it_is_deleted(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'studies.db'}")
    assert not database.has_trials("one")
    study = optuna.create_study(storage=database.storage, study_name="one")
    assert not database.has_trials("one")
    study.add_trial(optuna.create_trial(value=0.5))
    assert database.has_trials("one")
    assert database.known("one") is None, "nobody has opened it"
    database.studies["one"] = study
    assert database.known("one") is study
    optuna.delete_study(study_name="one", storage=database.storage)
    assert database.known("one") is None
    assert not database.has_trials("one")
