"""Log loss and AUC, with the log loss's standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of predictions on some rows.

    Attributes:
        log_loss: mean binary cross-entropy, in nats.
        auc: area under the ROC curve.
        standard_error: of the log loss.
        rows: how many rows were measured.
    """

    log_loss: float
    auc: float
    standard_error: float
    rows: int


def measure(logits: Tensor, label: Tensor) -> Metrics:
    """Measure predictions.

    Args:
        logits: `(B,)`.
        label: `(B,)`, 0 or 1.
    """
    logits = logits.double()
    losses = log_losses(logits, label)
    return Metrics(
        log_loss=losses.mean().item(),
        auc=binary_auroc(_ranks(logits), label.long()).item(),
        standard_error=losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else float("nan"),
        rows=len(losses),
    )


def log_losses(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of each row in nats, `(B,)` float64."""
    return F.binary_cross_entropy_with_logits(logits.double(), label.double(), reduction="none")


def _ranks(logits: Tensor) -> Tensor:
    """Dense ranks, scaled to [0, 1].

    A sigmoid would do to ties what it likes: it makes new ones of large logits, and rounds equal logits differently
    in the vectorised middle and at the scalar end of a tensor.
    """
    ranks = torch.unique(logits, return_inverse=True)[1].double()
    scaled: Tensor = ranks / ranks.max().clamp(min=1)
    return scaled
