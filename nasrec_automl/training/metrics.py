"""Log loss and AUC, with the log loss's standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError
from nasrec_automl.training.weighting import pseudo_values


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of predictions on some rows, which count by their weights where they have such.

    Attributes:
        log_loss: mean binary cross-entropy, in nats.
        auc: area under the ROC curve; 0 where all rows are of one class, so that there is none.
        standard_error: of the log loss; a row is one observation, whatever its weight.
        rows: how many rows were measured.
    """

    log_loss: float
    auc: float
    standard_error: float
    rows: int

    @property
    def quality(self) -> dict[str, float]:
        """Log loss and AUC, as results store them."""
        return {"log_loss": self.log_loss, "auc": self.auc}


def measure(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Metrics:
    """Measure predictions.

    Args:
        logits: `(B,)`.
        label: `(B,)`, 0 to 1: one between counts as a positive row of that weight and a negative one of the rest.
        weight: `(B,)` where rows have weights, at least 0; rows of weight 0 change nothing.

    Raises:
        DataError: all weights are 0.
    """
    rows = len(logits)
    logits, label, weight = _counted(logits, label, weight)
    losses = pseudo_values(log_losses(logits, label), weight)
    return Metrics(
        log_loss=losses.mean().item(),
        auc=_auc(logits, label.double(), weight),
        standard_error=losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else float("nan"),
        rows=rows,
    )


def targets(rows: Rows) -> tuple[Tensor, Tensor | None]:
    """Labels `(n,)` float32, and weights where the rows have such: what `measure` takes beside the logits."""

    def plain(column: ArrayLike) -> Tensor:
        return torch.from_numpy(np.asarray(column).astype(np.float32))

    return plain(rows.label), None if rows.weight is None else plain(rows.weight)


def log_losses(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of each row in nats, `(B,)` float64."""
    return F.binary_cross_entropy_with_logits(logits.double(), label.double(), reduction="none")


def mean_log_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> float:
    """The log loss of `measure` alone, which sorts no rows."""
    logits, label, weight = _counted(logits, label, weight)
    return pseudo_values(log_losses(logits, label), weight).mean().item()


def _counted(logits: Tensor, label: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The rows whose weight is not 0, logits and weights as float64."""
    if weight is None:
        return logits.double(), label, None
    counted = weight > 0
    if not counted.any():
        raise DataError(
            f"the weights of all {len(logits)} rows to measure on are 0: give at least one a weight above 0"
        )
    return logits[counted].double(), label[counted], weight[counted].double()


def _auc(logits: Tensor, label: Tensor, weight: Tensor | None) -> float:
    """Area under the ROC curve, 0 where one class alone is there.

    It is found from dense ranks. A sigmoid would create and break ties: it makes large logits equal, and rounds equal
    ones differently in the vectorised middle and at the scalar end of a tensor.
    """
    ranks = torch.unique(logits, return_inverse=True)[1]
    # Of one class torchmetrics warns at every validation; below, its AUC is 0 as well.
    if weight is None and bool(((label == 0) | (label == 1)).all() & (label.min() < label.max())):
        scaled = ranks.double() / ranks.max().clamp(min=1)
        area: Tensor = binary_auroc(scaled, label.long())
        return area.item()
    # Torchmetrics knows no weights. The weight of negatives below each rank, half of those at it.
    weight = torch.ones_like(label) if weight is None else weight
    negative = torch.bincount(ranks, weights=weight * (1 - label))
    below = (negative.cumsum(0) - negative / 2)[ranks]
    positive = weight * label
    pairs = (positive.sum() * negative.sum()).item()
    return (positive * below).sum().item() / pairs if pairs else 0.0
