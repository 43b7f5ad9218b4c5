"""Leading slices of shared weights, with gradients no larger than the slice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nasrec_automl.ops.autograd import apply


def leading(tensor: Tensor, sizes: Iterable[int]) -> Tensor:
    """The leading slice of a tensor, a view.

    Args:
        tensor: what to cut.
        sizes: of the slice, axis by axis.
    """
    for axis, size in enumerate(sizes):
        if tensor.shape[axis] != size:
            tensor = tensor.narrow(axis, 0, size)
    return tensor


def used_slice(parameter: nn.Parameter, *sizes: int) -> Tensor:
    """The leading slice of a shared weight that a path uses.

    Autograd's own slice would fill a gradient of the whole weight with zeros, at every step. Once an optimiser has
    asked for it (`keep_slice_gradients`), the gradient of the slice alone is kept for it and `grad` stays empty.
    """
    if parameter.shape == sizes:
        return parameter
    if torch.is_grad_enabled() and getattr(parameter, "keeps_slice_gradient", False):
        return apply(_UsedSlice, parameter, sizes)
    return leading(parameter, sizes)


def keep_slice_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Let backward passes keep the gradients of slices as slices, where `slice_gradient` finds them."""
    for parameter in parameters:
        parameter.keeps_slice_gradient = True  # type: ignore[attr-defined]


def slice_gradient(parameter: nn.Parameter) -> Tensor | None:
    """The gradient of the leading slice that backward passes have met since `drop_slice_gradient`, if any."""
    gradient: Tensor | None = getattr(parameter, "slice_gradient", None)
    return gradient


def only_gradient(parameter: nn.Parameter) -> Tensor | None:
    """The gradient of a weight, or of the leading slice of it that was used, if any.

    A backward pass that used the weight whole and in part has left two. They become one in `grad`: norms, squares and
    decay of parts are not those of their sum.
    """
    gradient, kept = parameter.grad, slice_gradient(parameter)
    if kept is None:
        return gradient
    if gradient is None:
        return kept
    leading(gradient, kept.shape).add_(kept)
    drop_slice_gradient(parameter)
    return gradient


def dense_gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """All gradients that are no sparse ones, one of each weight (`only_gradient`)."""
    gradients = map(only_gradient, parameters)
    return [gradient for gradient in gradients if gradient is not None and not gradient.is_sparse]


def drop_slice_gradient(parameter: nn.Parameter) -> None:
    """Forget it; for `zero_grad`."""
    parameter.slice_gradient = None  # type: ignore[attr-defined]


def end_slice_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Take `keep_slice_gradients` back, and forget what was kept."""
    for parameter in parameters:
        parameter.keeps_slice_gradient = False  # type: ignore[attr-defined]
        drop_slice_gradient(parameter)


class _UsedSlice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: nn.Parameter, sizes: tuple[int, ...]) -> Tensor:
        ctx.parameter = parameter
        return leading(parameter, sizes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        kept = slice_gradient(ctx.parameter)
        if kept is not None:
            gradient = _add(kept, gradient)
        elif gradient.dim() == 1:
            gradient = gradient.clone()  # in a batch of one row, several biases share the tensor
        ctx.parameter.slice_gradient = gradient
        return None, None


def _add(first: Tensor, second: Tensor) -> Tensor:
    """The sum of two leading slices of one weight."""
    sizes = [max(pair) for pair in zip(first.shape, second.shape, strict=True)]
    total = first.new_zeros(sizes)
    for part in (first, second):
        leading(total, part.shape).add_(part)
    return total
