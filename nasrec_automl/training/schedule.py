"""The learning-rate schedule: linear warm-up, then cosine."""

from __future__ import annotations

import math

import torch
from torch.optim.lr_scheduler import LambdaLR


def warm_up_cosine(optimizer: torch.optim.Optimizer, *, steps: int, warm_up: float) -> LambdaLR:
    """Rise linearly over the first fraction of the steps, then fall to 0 along a cosine.

    Args:
        optimizer: its learning rate is the peak.
        steps: of the whole training; further ones have a learning rate of 0.
        warm_up: fraction of the steps.
    """
    rise = max(1, round(warm_up * steps))

    def factor(step: int) -> float:
        if step >= steps:
            return 0.0
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))

    return LambdaLR(optimizer, factor)
