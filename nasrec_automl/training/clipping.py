"""Clipping by the norm of dense and sparse gradients together."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nasrec_automl.ops.slices import dense_gradients
from nasrec_automl.training.foreach import joint_norm, scale_each


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients so that their joint L2 norm is at most `max_norm`.

    Torch's `clip_grad_norm_` refuses sparse gradients. Sparse ones are coalesced in place first: only then do a
    row's parts add up to its gradient.

    Returns:
        The norm before.
    """
    parameters = list(parameters)
    values = dense_gradients(parameters)
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
    if not values:
        return torch.zeros(())
    norm = joint_norm(values)
    scale_each(values, (max_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm
