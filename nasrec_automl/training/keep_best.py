"""What a training keeps: the weights of its best validation, and a checkpoint that a broken one goes on from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.module import ClickModule

OnValidation = Callable[[int, Metrics], bool | None]
"""Called after each validation with step and metrics; True ends the training."""


class KeepBest(pl.Callback):
    """Keeps the best validation's weights in memory; ends a training that no longer improves or is told to stop.

    Args:
        patience: validations without improvement that end the training; 0 for never.
        on_validation: hears of each validation.

    Attributes:
        best: metrics of the best validation.
        best_step: when it was; 0 before the first.
        stopped: whether `on_validation` ended the training.
    """

    def __init__(self, patience: int, on_validation: OnValidation | None = None) -> None:
        self.patience = patience
        self.on_validation = on_validation
        self.best: Metrics | None = None
        self.best_step = 0
        self.stopped = False
        self._curve: list[tuple[int, Metrics]] = []
        self._weights: dict[str, Any] | None = None
        self._network = nn.Module()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the network."""
        self._network = _click_module(pl_module).model

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell `on_validation` again what was measured before the training broke; it did not end it then."""
        if self.on_validation is not None:
            for step, metrics in self._curve:
                self.on_validation(step, metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare a validation with the best."""
        metrics = _click_module(pl_module).metrics
        assert metrics is not None
        self._curve.append((trainer.global_step, metrics))
        if self.best is None or metrics.log_loss < self.best.log_loss:
            self.best, self.best_step = metrics, trainer.global_step
            self._keep()
        if self.on_validation is not None and self.on_validation(trainer.global_step, metrics):
            self.stopped = True
        since = sum(step > self.best_step for step, _ in self._curve)
        stops = self.stopped or bool(self.patience and since >= self.patience)
        # Rounding may differ from one process to another, and all must stop at the same step.
        if trainer.strategy.reduce_boolean_decision(stops, all=False):
            trainer.should_stop = True

    def _keep(self) -> None:
        """Copy the weights; after the first time over the copy that there is, since tables are large."""
        weights = self._network.state_dict()
        if self._weights is None:
            self._weights = copy.deepcopy(weights)
        else:
            for name, tensor in weights.items():
                self._weights[name].copy_(tensor)

    def restore(self) -> None:
        """Give the network the weights of its best validation, if there was one."""
        if self._weights is not None:
            self._network.load_state_dict(self._weights)

    def release(self) -> None:
        """Let go of the weights, once the training has ended."""
        self._weights, self._network = None, nn.Module()

    def state_dict(self) -> dict[str, Any]:
        """What a broken training goes on with."""
        curve = [(step, asdict(metrics)) for step, metrics in self._curve]
        return {"curve": curve, "best_step": self.best_step, "best_weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self._curve = [(step, Metrics(**metrics)) for step, metrics in state_dict["curve"]]
        self.best_step, self._weights = state_dict["best_step"], state_dict["best_weights"]
        self.best = dict(self._curve)[self.best_step]


class Checkpoints(pl.Callback):
    """Writes after each validation what a broken training goes on from, the other callbacks' state included.

    It comes after them, so that what they made of the validation is in it.

    Args:
        path: of the file; it is there whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it, unless the training ends here."""
        if trainer.should_stop or trainer.global_step >= trainer.max_steps:
            return
        trainer.save_checkpoint(self.path)  # whole: `quiet_trainer` sees to it


def _click_module(module: pl.LightningModule) -> ClickModule:
    """The module itself, or the one that NNI's one-shot module wraps."""
    found: Any = getattr(module, "training_module", module)
    assert isinstance(found, ClickModule)
    return found
