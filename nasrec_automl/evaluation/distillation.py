"""Labels that are mixed with the predictions of trained networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.data.rows import Rows
from nasrec_automl.training.metrics import mean_log_loss, targets


def taught_labels(rows: Rows, logits: Sequence[Tensor], share: float) -> NDArray[np.float32]:
    """Labels of rows, mixed with the probability that teachers give them together.

    The cross entropy of a mixed label is the same mix of the two cross entropies. So training on these labels is
    knowledge distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, at temperature 1), from an ensemble as in
    Zhu et al. 2020, "Ensembled CTR Prediction via Knowledge Distillation" (CIKM). A label says what happened once, an
    ensemble how likely it was.

    Args:
        rows: n rows.
        logits: `(n,)` of each teacher; their mean counts. Without teachers the labels are the rows' own.
        share: weight of the teachers in the labels, 0 to 1.

    Returns:
        `(n,)`.
    """
    label = torch.from_numpy(np.asarray(rows.label).astype(np.float32))
    if not logits:
        return label.numpy()
    mixed: NDArray[np.float32] = torch.lerp(label, torch.sigmoid(_mean(logits)), share).numpy()
    return mixed


def best_together(logits: Sequence[Tensor], rows: Rows, *, most: int) -> list[int]:
    """Choose which networks to average: the best, the best two and so on, whichever have the lowest log loss together.

    In this way a bad network is left out.

    Args:
        logits: `(n,)` of each network; one at least.
        rows: n rows of no network's training.
        most: how many are chosen at most.

    Returns:
        Positions of those networks, the best first.
    """
    label, weight = targets(rows)

    def log_loss(chosen: Sequence[int]) -> float:
        return mean_log_loss(_mean([logits[i] for i in chosen]), label, weight)

    order = sorted(range(len(logits)), key=lambda i: log_loss([i]))[:most]
    return min((order[:count] for count in range(1, len(order) + 1)), key=log_loss)


def _mean(logits: Sequence[Tensor]) -> Tensor:
    return torch.stack([*logits]).mean(0)
