"""One batch, several processes: losses and gradients of the whole batch on each of them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from nasrec_automl.ops.slices import dense_gradients
from nasrec_automl.training.foreach import copy_each


def processes() -> int:
    """Processes that train together; 1 where none were joined."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def batch_mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    """Mean loss of a batch, of which this process may hold a part.

    The value is the whole batch's on every process. The gradient is the part's own, times the number of processes:
    averaged over them, as DDP does, it is that of the whole batch, whatever the sizes and weights of the parts.

    Args:
        losses: `(B,)` of the part.
        weight: `(B,)` where rows have weights, in units of the mean over all rows of the training, as `TrainingBatches`
            gives them. The sum is divided by the number of rows, not by the weight of the batch: then a single heavy
            row could never count more than its whole batch, and means of batches would not estimate the training's.
    """
    count = processes()
    weighted = losses if weight is None else losses * weight
    if count == 1:
        return weighted.mean()
    total = weighted.sum()
    whole = torch.stack([total.detach(), total.new_tensor(len(losses))])
    distributed.all_reduce(whole)
    part = count * total / whole[1]
    return part + (whole[0] / whole[1] - part).detach()


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their average over the processes.

    Only what has a gradient travels, which must be the same parameters on every process; torch's DDP would send those
    of a supernet's dead weights too, and NCCL refuses sparse ones. Of a sparse gradient the rows of all batches travel.
    """
    count = processes()
    if count == 1:
        return
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = _average_rows(parameter.grad.coalesce(), count)
    dense = dense_gradients(parameters)
    if dense:
        flat = torch.cat([gradient.flatten() for gradient in dense])
        distributed.all_reduce(flat)
        parts = flat.div_(count).split_with_sizes([gradient.numel() for gradient in dense])
        copy_each(dense, [part.view_as(gradient) for part, gradient in zip(parts, dense, strict=True)])


def _average_rows(gradient: Tensor, count: int) -> Tensor:
    rows, values = gradient.indices()[0], gradient.values()  # (n,), (n, E)
    sizes = [rows.new_empty(1) for _ in range(count)]
    distributed.all_gather(sizes, rows.new_tensor([len(rows)]))
    lengths = [int(size) for size in sizes]
    most = max(lengths)  # all pieces of a gather are of one size
    all_rows = [rows.new_empty(most) for _ in range(count)]
    distributed.all_gather(all_rows, F.pad(rows, (0, most - len(rows))))
    all_values = [values.new_empty(most, values.shape[1]) for _ in range(count)]
    distributed.all_gather(all_values, F.pad(values, (0, 0, 0, most - len(rows))))
    index = torch.cat([piece[:length] for piece, length in zip(all_rows, lengths, strict=True)])
    joined = torch.cat([piece[:length] for piece, length in zip(all_values, lengths, strict=True)])
    return torch.sparse_coo_tensor(
        index.unsqueeze(0), joined / count, gradient.shape, check_invariants=False
    ).coalesce()
