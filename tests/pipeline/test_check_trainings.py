"""Trainings of the check that may teach."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from nasrec_automl.config import load_job
from nasrec_automl.errors import CheckpointError
from nasrec_automl.evaluation.scratch import Trained
from nasrec_automl.pipeline import check
from nasrec_automl.pipeline.check_trainings import check_folder, drop_kept, keep_training
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, train_by_job
from nasrec_automl.pipeline.stages import STAGES
from nasrec_automl.pipeline.truth import sample_sizes
from nasrec_automl.training.metrics import Metrics

JOB: dict[str, Any] = {
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 1},
    "search": {"architectures": 8, "verdict": {"architectures": 4}},
    "retrain": {"max_epochs": 1, "validations_per_epoch": 2, "teachers": 0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> RunFolder:
    """A run with nothing but data."""
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("kept"), **JOB)))
    STAGES["data"].run(run)
    return run


@pytest.fixture(scope="module")
def trained(run: RunFolder) -> Trained:
    return train_by_job(run, sample_sizes(run, 4)[0], default_hyper(run.job, taught=False), lambda *_: False)


def kept(run: RunFolder) -> set[str]:
    return {path.name for path in check_folder(run).glob("*")}


def test_the_better_ones_stay(run: RunFolder, trained: Trained) -> None:
    architectures = sample_sizes(run, 4)
    for architecture, loss in zip(architectures, (0.6, 0.5, 0.7, 0.55), strict=True):
        keep_training(run, architecture, replace(trained, metrics=Metrics(loss, 0.5, 0.01, 10)), most=2)
    best = (architectures[1].key, architectures[3].key)
    assert kept(run) == {f"{key}.{suffix}" for key in best for suffix in ("json", "safetensors")}
    drop_kept(run)
    assert not check_folder(run).exists()


def test_weights_that_are_no_numbers_are_not_kept(run: RunFolder, trained: Trained) -> None:
    subnet = copy.deepcopy(trained.subnet)
    with torch.no_grad():
        next(subnet.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="NaN"):
        keep_training(run, subnet.architecture, replace(trained, subnet=subnet), most=2)


@pytest.mark.slow
def test_without_teachers_nothing_is_kept(
    tmp_path: Path, write_job: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "keep_training", Mock(side_effect=AssertionError("nobody reads it")))
    run = RunFolder(load_job(write_job(tmp_path, **JOB)))
    for name in ("data", "supernet", "search"):
        STAGES[name].run(run)
    assert run.verdict.is_file()
    assert not check_folder(run).exists()
