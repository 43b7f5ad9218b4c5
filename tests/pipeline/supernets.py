"""Runs whose supernet is small, and trainings of it that diverge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml

from nasrec_automl.config import DataConfig, Job
from nasrec_automl.config_training import RetrainConfig, SupernetConfig
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.testing.examples import tiny_space


def make(folder: Path, prepared: Path, *, devices: int = 1, **supernet: object) -> RunFolder:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "space.yaml").write_text(yaml.safe_dump(tiny_space().model_dump(mode="json")))
    job = Job(
        name="mine",
        run_folder=folder / "run",
        seed=3,
        space=str(folder / "space.yaml"),
        embedding_dim=8,
        devices=devices,
        data=DataConfig(source="prepared", input=prepared),
        supernet=SupernetConfig(
            **{"epochs": 1, "batch_size": 64, "dropout": 0.1, "validations": 8, "teacher_share": 0.0, **supernet}
        ),
        retrain=RetrainConfig(max_epochs=1),
    )
    return RunFolder(job)


@contextmanager
def poisoned_step(step: int) -> Iterator[None]:
    """Let the loss of one step become NaN."""
    train = NasRecLightningModule.training_step

    def poisoned(self: NasRecLightningModule, batch: object, batch_idx: int) -> torch.Tensor:
        loss = train(self, batch, batch_idx)
        return loss * torch.nan if self.global_step + 1 == step else loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NasRecLightningModule, "training_step", poisoned)
        yield
