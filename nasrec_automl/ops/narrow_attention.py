"""Self-attention for heads a few numbers wide, on the CPU.

NASRec's heads are E / 8 = 2 wide. General attention makes matrix products of that width and passes over memory between
them; here scores are never stored. The loops are compiled by numba at their first use and kept on disk.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor

WIDEST = 8
"""Of heads wider than this torch's own attention is as fast."""


def use_narrow(qkv: Tensor, head_width: int) -> bool:
    """Whether these loops can run and are the faster ones; exported networks keep torch's own attention."""
    return (
        type(qkv) is Tensor  # no subclass: the loops need values
        and qkv.dtype in (torch.float32, torch.bfloat16)
        and qkv.device.type == "cpu"
        and head_width <= WIDEST
        and not torch.compiler.is_compiling()  # true of torch.export too
    )


class NarrowAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(e)) v of each head, for float32 on the CPU."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int) -> Tensor:
        """Attend.

        Args:
            ctx: autograd's.
            qkv: `(B, n, 3 E)`: queries, keys and values side by side.
            heads: H, a divisor of E.

        Returns:
            `(B, n, E)`.
        """
        from nasrec_automl.ops import narrow_kernels  # imports numba

        rows, n, width = qkv.shape
        qkv = qkv.contiguous()
        out, log_sums = qkv.new_empty(rows, n, width // 3), qkv.new_empty(rows, heads, n)
        ctx.lanes = (0,) * (width // 3 // heads)
        _over_rows(narrow_kernels.forward, ctx.lanes, qkv, out, log_sums)
        ctx.save_for_backward(qkv, out, log_sums)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of `qkv`."""
        from nasrec_automl.ops import narrow_kernels

        qkv, out, log_sums = ctx.saved_tensors
        result = torch.empty_like(qkv)
        _over_rows(narrow_kernels.backward, ctx.lanes, qkv, out, log_sums, gradient.contiguous(), result)
        return result, None


def _over_rows(kernel: Callable[..., None], lanes: tuple[int, ...], *tensors: Tensor) -> None:
    """Run a kernel on as many threads as torch uses, each on its part of the rows."""
    arrays, rows = [tensor.detach().numpy() for tensor in tensors], len(tensors[0])
    threads = max(1, min(torch.get_num_threads(), rows))
    bounds = [rows * i // threads for i in range(threads + 1)]
    others = [
        _pool(os.getpid()).submit(kernel, start, stop, lanes, *arrays) for start, stop in itertools.pairwise(bounds[1:])
    ]
    kernel(0, bounds[1], lanes, *arrays)
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of a process: a fork has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="narrow-attention")
