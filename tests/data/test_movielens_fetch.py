import dataclasses
import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nasrec_automl.data import movielens_fetch
from nasrec_automl.data.movielens_fetch import fetch_movielens
from nasrec_automl.data.movielens_tables import RECBOLE_FILES
from nasrec_automl.errors import DataError

Write = Callable[[str, Path], Path]


@pytest.fixture
def wheel(tmp_path: Path, write_movielens: Write) -> Path:
    tables = write_movielens("recbole", tmp_path / "tables")
    path = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in RECBOLE_FILES:
            archive.write(tables / name, f"recbole/dataset_example/ml-100k/{name}")
    return path


@pytest.fixture
def commands(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for pip, with a wheel of made-up rows; returns what it was called with."""
    called: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    made_up = dataclasses.replace(movielens_fetch._PACKAGE, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(movielens_fetch, "_PACKAGE", made_up)
    return called


def test_the_three_tables_are_taken_out_of_the_wheel(tmp_path: Path, commands: list[list[str]]) -> None:
    folder = tmp_path / "a" / "ml-100k"
    fetch_movielens(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(RECBOLE_FILES)
    for name in RECBOLE_FILES:
        assert (folder / name).read_bytes() == (tmp_path / "tables" / name).read_bytes()
    assert len(commands) == 1


@pytest.mark.parametrize("kind", ["grouplens", "recbole"])
def test_nothing_is_fetched_where_tables_are(
    tmp_path: Path, write_movielens: Write, commands: list[list[str]], kind: str
) -> None:
    fetch_movielens(write_movielens(kind, tmp_path / "mine"))
    assert commands == []


def test_another_wheel_is_refused(tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens_fetch, "_PACKAGE", dataclasses.replace(movielens_fetch._PACKAGE, sha256="0" * 64))
    with pytest.raises(DataError, match=r"SHA-256 differs\); put u\.data, u\.user, u\.item .* into .*ml"):
        fetch_movielens(tmp_path / "ml")
    assert len(commands) == 1
    assert not (tmp_path / "ml").exists()
