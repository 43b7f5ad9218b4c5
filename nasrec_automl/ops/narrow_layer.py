"""The transformer layer of `Attention` for heads a few numbers wide, on the CPU, in one pass over memory.

NASRec's heads are E / 8 = 2 wide and E is 16: general products and norms of that size spend their time on moving
numbers. Here a few rows of the batch go through the whole layer while they are in the processor's caches. The loops are
compiled by numba at their first use and kept on disk.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasrec_automl.ops.base import is_traced

WIDEST = 8
"""Widest head these loops are used for; for wider ones torch's own attention is as fast."""

_TOGETHER = 256
"""Tokens of the rows that go through the layer together: as many as the second-level cache holds with all they need."""

_LARGEST_TILE = 4


def use_narrow(x: Tensor, head_width: int) -> bool:
    """Whether these loops can run and are the faster ones; exported networks keep torch's own operations."""
    return (
        type(x) is Tensor  # no subclass: the loops need values
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.device.type == "cpu"
        and head_width <= WIDEST
        and not is_traced()
    )


class NarrowLayer(torch.autograd.Function):
    """Self-attention, then two Linears with a ReLU between, each followed by its residual and LayerNorm."""

    @staticmethod
    def forward(ctx: Any, heads: int, is_trained: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        """Run the layer.

        Args:
            ctx: autograd's.
            heads: H, a divisor of E.
            is_trained: whether there may be a backward pass, which needs what is kept here. Inside forward, autograd
                reports every input as needing a gradient and grad mode as off, so the caller says it.
            x: `(B, E, n)`, float32.
            parameters: in the order of `narrow_kernels.Layer`, float32.

        Returns:
            `(B, E, n)`.
        """
        from nasrec_automl.ops import narrow_kernels  # imports numba

        x = x.contiguous()
        rows, e, n = x.shape
        ctx.sizes = _count(e // heads), _tile(e), max(1, _TOGETHER // n)
        kept = rows if is_trained else 0
        attended = x.new_empty(kept, e, n)
        shifts, inverses = x.new_empty(kept, heads, n), x.new_empty(kept, heads, n)
        out = torch.empty_like(x)
        layer = narrow_kernels.Layer(*map(_matrix, parameters))
        arrays = [tensor.detach().numpy() for tensor in (x, out, attended, shifts, inverses)]
        _over_groups(narrow_kernels.forward, -(-rows // ctx.sizes[2]), *ctx.sizes, layer, *arrays)
        ctx.save_for_backward(x, attended, shifts, inverses, *parameters)
        return out

    @staticmethod
    @once_differentiable  # what NumPy did has no gradient of its own
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of `x` and the parameters."""
        from nasrec_automl.ops import narrow_backward, narrow_kernels  # import numba

        x, attended, shifts, inverses, *parameters = ctx.saved_tensors
        groups = -(-len(x) // ctx.sizes[2])
        of_x = torch.empty_like(x)
        layer = narrow_kernels.Layer(*map(_matrix, parameters))
        transposed = narrow_kernels.Layer(*map(_transposed, parameters))
        of_layer = narrow_kernels.Layer(*(np.empty((groups, *array.shape), np.float32) for array in layer))
        arrays = [t.detach().numpy() for t in (x, attended, shifts, inverses, gradient.contiguous(), of_x)]
        _over_groups(narrow_backward.backward, groups, *ctx.sizes, layer, transposed, *arrays, of_layer)
        sums = (torch.from_numpy(array.sum(0)) for array in of_layer)
        return None, None, of_x, *(s.view_as(parameter) for s, parameter in zip(sums, parameters, strict=True))


def _matrix(parameter: Tensor) -> np.ndarray[Any, Any]:
    matrix = parameter.detach().contiguous()
    return (matrix if matrix.dim() == 2 else matrix.unsqueeze(1)).numpy()


def _transposed(parameter: Tensor) -> np.ndarray[Any, Any]:
    matrix = _matrix(parameter)
    # Told by the parameter's axes: where E is 1, weights are matrices of one column too.
    return np.ascontiguousarray(matrix.T) if parameter.dim() == 2 else np.zeros_like(matrix)


def _count(length: int) -> tuple[int, ...]:
    return (0,) * length


def _tile(e: int) -> tuple[int, ...]:
    return _count(max(size for size in range(1, _LARGEST_TILE + 1) if e % size == 0))


def _over_groups(kernel: Callable[..., None], groups: int, *arguments: Any) -> None:
    """Run a kernel on as many threads as torch uses, each on its part of the groups."""
    threads = max(1, min(torch.get_num_threads(), groups))
    bounds = [groups * i // threads for i in range(threads + 1)]
    others = [
        _pool(os.getpid()).submit(kernel, start, stop, *arguments) for start, stop in itertools.pairwise(bounds[1:])
    ]
    kernel(0, bounds[1], *arguments)
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of a process: a fork has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="narrow-layer")
