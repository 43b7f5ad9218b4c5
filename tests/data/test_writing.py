import fcntl
import os
from pathlib import Path

import numpy as np
import pytest

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError

RAW = make_synthetic(1000, seed=4)


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []

    def fail(path: Path, *_: object, **__: object) -> None:
        saved.append(path)
        if len(saved) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(RAW, tmp_path / "p")
    assert len(saved) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_preparation_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".p.partial"
    (left / "train").mkdir(parents=True)
    (left / "train" / "other.npy").write_text("half")
    (left / "dataset.json").write_text("half")
    prepare(RAW, tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert sorted(path.name for path in (tmp_path / "p" / "train").iterdir()) == [
        "dense.npy",
        "ids.npy",
        "label.npy",
    ]


def test_an_earlier_preparation_is_replaced(tmp_path: Path) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint
    second = prepare(RAW, tmp_path / "p", seed=9).fingerprint
    assert first != second
    assert PreparedData.open(tmp_path / "p").fingerprint == second
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_failed_replacement_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare(RAW, tmp_path / "p", seed=9)
    assert PreparedData.open(tmp_path / "p").fingerprint == first
    assert len(PreparedData.open(tmp_path / "p").part("train")) > 0


def test_other_folders_and_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("too")
    for name in ("mine", "file"):
        with pytest.raises(DataError, match=f"{name}: already there and not a prepared data set"):
            prepare(RAW, tmp_path / name)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "too"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    prepare(RAW, tmp_path / "empty")
    prepare(RAW, tmp_path / "a" / "b" / "c")


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    (tmp_path / ".p.partial").mkdir()
    owner = os.open(tmp_path / ".p.partial", os.O_RDONLY)
    fcntl.flock(owner, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is preparing it"):
        prepare(RAW, tmp_path / "p")
    os.close(owner)
    prepare(RAW, tmp_path / "p")
