"""Torch's operations on lists of tensors: one call for a whole list.

They have no public names, and torch's own optimisers and clipping are made of them: a loop over the hundreds of small
tensors of a supernet would take longer than the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor


def copy_each(to: list[Tensor], values: list[Tensor]) -> None:
    """Copy each tensor into its counterpart of the same shape."""
    torch._foreach_copy_(to, values)


def lerp_each(tensors: list[Tensor], towards: list[Tensor], weight: float) -> None:
    """Move each tensor to its counterpart by a share `weight` of the way, in place."""
    torch._foreach_lerp_(tensors, towards, weight)


def scale_each(tensors: list[Tensor], factor: Tensor) -> None:
    """Multiply each tensor with one number, a tensor without dimensions, in place."""
    torch._foreach_mul_(tensors, factor)


def joint_norm(tensors: list[Tensor]) -> Tensor:
    """Return the L2 norm of all numbers together."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return norm
