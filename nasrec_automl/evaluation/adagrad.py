"""Fitting the head by a few Adagrad steps, as in the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from nasrec_automl.config import AdagradHead

_EPS = 1e-2


@torch.no_grad()
def adagrad_head(
    features: Tensor,
    label: Tensor,
    weight: Tensor,
    bias: Tensor,
    config: AdagradHead,
    generator: torch.Generator,
    *,
    row_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Train a logistic regression for a few Adagrad steps (arXiv 2207.07187).

    Only the final Linear learns, so the features are computed once and the gradient is written down.

    Args:
        features: `(n, K)`.
        label: `(n,)`.
        weight: `(K,)`, where to start.
        bias: `()`.
        config: steps, batch size, learning rate.
        generator: order of the rows.
        row_weight: `(n,)` where rows have weights: each gradient counts by it, in units of the mean over all rows.

    Returns:
        The fitted weight and bias.
    """
    weight, bias = weight.clone(), bias.clone()
    weight_sum, bias_sum = torch.zeros_like(weight), torch.zeros_like(bias)
    rows = len(features)
    size = min(config.batch_size, rows)
    order = torch.empty(0, dtype=torch.long)
    if row_weight is not None:
        row_weight = row_weight / row_weight.mean().clamp(min=torch.finfo(row_weight.dtype).tiny)
    for _ in range(config.steps):
        if len(order) < size:
            order = torch.randperm(rows, generator=generator).to(features.device)
        index, order = order[:size], order[size:]
        x = features[index]
        error = (torch.sigmoid(torch.addmv(bias, x, weight)) - label[index]) / size
        if row_weight is not None:
            error *= row_weight[index]
        gradient = x.T @ error
        weight_sum.addcmul_(gradient, gradient)
        weight.addcdiv_(gradient, weight_sum.sqrt().add_(_EPS), value=-config.learning_rate)
        total = error.sum()
        bias_sum.addcmul_(total, total)
        bias.addcdiv_(total, bias_sum.sqrt().add_(_EPS), value=-config.learning_rate)
    return weight, bias
