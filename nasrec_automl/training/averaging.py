"""A running average of a network's weights, which is what is validated and kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from nasrec_automl.training.foreach import copy_each, lerp_each

_TAIL = 8
"""Eta of the averaging: the average remembers about the last 1 / (eta + 1), a ninth, of the updates so far."""
_UPDATES = 1000
"""How often a whole training updates the average: up to twice as often because of rounding, and more often if there are
more validations. An update reads every row of every table, which costs more than a batch."""
_ROWS = 65_536


class AverageWeights(pl.Callback):
    """Averages the weights of a training over its last ninth, validates the average and ends with it.

    Weights that a high learning rate moves to and fro have an average that is better than any of them, at any time, so
    that a training may end early without its learning rate having fallen. It is the polynomial-decay averaging of
    Shamir and Zhang 2013 (arXiv 1212.1824), with eta = 8.

    The training itself goes on from its own weights. Between the start and the end of a validation, and after the
    training, the network holds the average: callbacks that come before this one see it at the end of a validation,
    and those that come after it see the training's own weights, which is what belongs into a checkpoint.

    Args:
        steps: of the whole training.
        validate_every: steps from one validation to the next. There is an update between any two: without one the
            second would measure the same weights, which counts as a validation without improvement.
    """

    def __init__(self, steps: int, validate_every: int) -> None:
        self.every = max(1, min(steps // _UPDATES, validate_every))
        self.updates = 0
        self._average: list[Tensor] = []
        self._weights: list[Tensor] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the weights; a module that is there under two names has them once."""
        named = chain(pl_module.named_parameters(), pl_module.named_buffers())
        self._weights = [tensor.detach() for _, tensor in named if tensor.is_floating_point()]
        # Of a training that goes on.
        self._average = [tensor.to(self._weights[0].device) for tensor in self._average]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Let the average follow."""
        if trainer.global_step % self.every:
            return
        self.updates += 1
        if not self._average:
            self._average = [torch.empty_like(weight) for weight in self._weights]
        if self.updates == 1:
            copy_each(self._average, self._weights)
        else:
            lerp_each(self._average, self._weights, (_TAIL + 1) / (self.updates + _TAIL))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let validation see the average."""
        self._swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the training go on from its own weights."""
        self._swap()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the network."""
        self._swap()

    def release(self) -> None:
        """Let go of the weights, once the training has ended."""
        self._average, self._weights = [], []

    def state_dict(self) -> dict[str, Any]:
        """What a training that was broken goes on with."""
        return {"updates": self.updates, "average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self.updates = state_dict["updates"]
        self._average = state_dict["average"]

    def _swap(self) -> None:
        for pair in zip(self._average, self._weights, strict=bool(self._average)):
            for average, weight in zip(*map(_pieces, pair), strict=True):
                kept = weight.clone()
                weight.copy_(average)
                average.copy_(kept)


def _pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Some rows each, so that what is kept of a table for a moment is not as large as the table."""
    return torch.split(tensor, _ROWS) if tensor.dim() else [tensor]
