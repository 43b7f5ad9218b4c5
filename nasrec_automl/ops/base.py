"""What all operators have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

Pieces = Sequence[tuple[str, Tensor]]
"""Named inputs of a concatenation. The names say which weights belong to which input."""


def is_traced() -> bool:
    """Whether a compiler or exporter runs the code: it sees no values of tensors, and keeps loops as they ran once."""
    # `is_compiling` is true under torch.export too.
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert `x` to a type. Without the test, a conversion to the type it has already would stand in exports."""
    return x if x.dtype == dtype else x.to(dtype)


@dataclass(frozen=True, slots=True)
class OpShape:
    """The largest sizes that an operator has to serve: the space's in a supernet, the architecture's in a subnet.

    Attributes:
        dense: width of each dense input by name.
        tokens: token count of each sparse input by name.
        dense_fan_in: width of all dense inputs that a path has together, for the start values.
        tokens_fan_in: the same for tokens.
        left: width of the left input.
        right: width of the right input.
        out: d of a dense operator, n of a sparse one.
        embedding_dim: E.
        layer_norm: whether the operator ends in a LayerNorm.
    """

    dense: Mapping[str, int]
    tokens: Mapping[str, int]
    dense_fan_in: int
    tokens_fan_in: int
    left: int
    right: int
    out: int
    embedding_dim: int
    layer_norm: bool


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """What the operators of one block may read in one forward pass.

    Attributes:
        dense: `(B, w)` each.
        tokens: `(B, E, N)` each.
        left: `(B, w)` each; several are added.
        right: the same for the right input.
    """

    dense: Pieces
    tokens: Pieces
    left: Sequence[Tensor]
    right: Sequence[Tensor]


class DenseOp(nn.Module, ABC):
    """An operator that writes a block's dense output. Made once by its block; run when a path chooses it."""

    def __init__(self, shape: OpShape) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Run the leading slice for the output width `dim`.

        Args:
            inputs: the block's inputs; the operator reads those it needs.
            dim: d, at most the shape's `out`.

        Returns:
            `(B, d)`.
        """


class SparseOp(nn.Module, ABC):
    """An operator that writes a block's sparse output. Made once by its block; run when a path chooses it."""

    def __init__(self, shape: OpShape) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Run the leading slice for `dim` output tokens.

        Args:
            tokens: `(B, E, N)` each.
            dim: n, at most the shape's `out`.

        Returns:
            `(B, E, n)`.
        """


def pair_products(tokens: Sequence[Tensor]) -> Tensor:
    """Products of all ordered pairs of different tokens e, summed: (sum e)^2 - sum e^2.

    In float32 where they are bfloat16, which leaves nothing of two large sums that nearly cancel.

    Args:
        tokens: `(B, E, n)` each, of all tokens together.

    Returns:
        `(B, E)`.
    """
    pieces = [piece.float() if piece.dtype is torch.bfloat16 else piece for piece in tokens]
    total = reduce(torch.add, [piece.sum(-1) for piece in pieces])
    squares = reduce(torch.add, [piece.square().sum(-1) for piece in pieces])
    return total.square() - squares


def add_padded(tensors: Sequence[Tensor]) -> Tensor:
    """Add `(B, w)` tensors, the narrower padded with zeros to the widest.

    Returns:
        `(B, max w)`.
    """
    if len(tensors) == 1:
        return tensors[0]
    width = max(tensor.shape[-1] for tensor in tensors)
    padded = [nn.functional.pad(t, (0, width - t.shape[-1])) if t.shape[-1] < width else t for t in tensors]
    return torch.stack(padded).sum(0) if len(padded) > 2 else padded[0] + padded[1]
