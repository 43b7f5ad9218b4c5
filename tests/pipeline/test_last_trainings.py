"""Trainings that processes share: what is told to a helper, and what counts as left for a later call."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nasrec_automl.data.parts import FINAL
from nasrec_automl.errors import DivergedError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline import last_trainings
from nasrec_automl.pipeline.files import write_json
from nasrec_automl.pipeline.last_trainings import LastTraining, help_train, left_by, train_all
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper
from nasrec_automl.processes import own_host
from nasrec_automl.space import load_search_space


@pytest.fixture
def training(finished_run: RunFolder, tmp_path: Path) -> LastTraining:
    return LastTraining(
        called="the first",
        architecture=hand_designs(load_search_space(finished_run.job.space))["hand-mlp"],
        hyper=default_hyper(finished_run.job, taught=False),
        parts=FINAL,
        weights=tmp_path / "first.safetensors",
        label=tmp_path / "labels.npy",
        seed_offset=7,
    )


def test_a_helper_reads_what_was_listed(finished_run: RunFolder, training: LastTraining) -> None:
    for one in (training, replace(training, label=None)):
        read = LastTraining.from_plain(finished_run, json.loads(json.dumps(one.to_plain())))
        assert replace(read, architecture=one.architecture, parts=FINAL) == one
        assert read.architecture.key == one.architecture.key
        assert tuple(read.parts) == FINAL


def test_a_helper_trains_once_through_what_nobody_trains(
    finished_run: RunFolder, training: LastTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    def diverging(*_: object, seed_offset: int, **__: object) -> None:
        trained.append(seed_offset)
        raise DivergedError("step 7 of 9")

    monkeypatch.setattr(last_trainings, "train_by_job", diverging)
    plain = replace(training, label=None)
    ended, mine, theirs = (
        replace(plain, weights=tmp_path / f"{number}.safetensors", seed_offset=number) for number in range(3)
    )
    ended.weights.touch()
    write_json(tmp_path / "trainings.json", [one.to_plain() for one in (ended, theirs, mine)])
    with finished_run.lock(theirs.weights.stem, inside=tmp_path):
        help_train(finished_run, tmp_path / "trainings.json")
    assert trained == [1]
    assert mine.diverged.read_text() == "step 7 of 9\n"
    help_train(finished_run, tmp_path / "gone.json")
    train_all(finished_run, [ended, mine], tmp_path, workers=2, tell=pytest.fail)


def test_what_a_killed_process_left_of_a_file_goes_with_the_next_one(
    finished_run: RunFolder, training: LastTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f".{training.weights.name}.{own_host()}.{gone.pid}.1.partial"
    left.touch()
    monkeypatch.setattr(last_trainings, "train_by_job", lambda *_, **__: SimpleNamespace(subnet=None))
    monkeypatch.setattr(last_trainings, "save_network", lambda subnet, path: path.touch())
    train_all(finished_run, [replace(training, label=None)], tmp_path)
    assert training.weights.is_file()
    assert not left.exists()


def test_labels_and_lists_are_nothing_to_go_on_with(tmp_path: Path) -> None:
    names: Any = ("a.ckpt", "a.safetensors", "a.diverged", "a-labels.npy", "trainings.json", ".a.lock")
    for name in names:
        (tmp_path / name).touch()
    assert {path.name for path in left_by(tmp_path)} == {"a.ckpt", "a.safetensors", "a.diverged"}
