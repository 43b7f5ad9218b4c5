"""Dot-Product: pairwise products of a projected dense vector and k projected tokens."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from nasrec_automl.cost import dot_product_tokens
from nasrec_automl.ops.autograd import apply
from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape, is_traced
from nasrec_automl.ops.linear import ElasticLinear, SourceLinear, closing_norm


def _make_pair_indices(vectors: int) -> Tensor:
    """Flat indices of the pairs below the diagonal; those of fewer vectors come first."""
    rows, columns = torch.tril_indices(vectors, vectors, -1)
    indices: Tensor = rows * vectors + columns
    return indices


# Both are kept for the whole process, on each device: a copy to an accelerator would wait for it at every call.
@cache
def _pair_indices(vectors: int, device: torch.device) -> Tensor:
    return _make_pair_indices(vectors).to(device)


@cache
def _pair_positions(vectors: int, device: torch.device) -> Tensor:
    """Where each `(i, j)` of the square stands in the list of pairs, `(V * V,)`; anywhere for the diagonal."""
    rows, columns = torch.tril_indices(vectors, vectors, -1)
    positions = torch.zeros(vectors, vectors, dtype=torch.long)
    positions[rows, columns] = positions[columns, rows] = torch.arange(len(rows))
    return positions.flatten().to(device)


class PairwiseProducts(torch.autograd.Function):
    """Dot products of all pairs of vectors below the diagonal.

    The square of products is symmetric, and so is its gradient: one matrix product goes back, where autograd would
    make two and scatter into the square.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        """Map `(B, E, V)` to `(B, V (V - 1) / 2)`."""
        ctx.save_for_backward(vectors)
        count = vectors.shape[2]
        products = torch.bmm(vectors.transpose(1, 2), vectors).flatten(1)  # (B, V^2)
        # A gather, not `index_select`: several times faster along the last axis of a batch.
        return products.gather(1, _pair_indices(count, products.device).expand(len(products), -1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The gradient of `vectors`."""
        (vectors,) = ctx.saved_tensors
        rows, _, count = vectors.shape
        positions = _pair_positions(count, gradient.device)
        square = gradient.gather(1, positions.expand(rows, -1)).view(rows, count, count)
        square.diagonal(dim1=1, dim2=2).zero_()
        return torch.bmm(vectors, square.to(vectors.dtype))


def _pairwise(vectors: Tensor) -> Tensor:
    """Dot products of all pairs: `(B, E, V)` to `(B, V (V - 1) / 2)`."""
    if not is_traced():
        return apply(PairwiseProducts, vectors)
    # A compiler's or exporter's tensors hold no values: nothing of them may be kept.
    products = torch.bmm(vectors.transpose(1, 2), vectors).flatten(1)
    return products.index_select(1, _make_pair_indices(vectors.shape[2]).to(products.device))


class DotProduct(DenseOp):
    """Operator-balanced Dot-Product (arXiv 2207.07187).

    The dense inputs become one vector of width E and the N tokens k = round(sqrt(2 d)) tokens, so that the
    k (k + 1) / 2 products cost about as much as the other operators.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        k = dot_product_tokens(shape.out)
        self.embedding_dim = shape.embedding_dim
        self.project_dense = SourceLinear(shape.dense, shape.embedding_dim, fan_in=shape.dense_fan_in, bias=True)
        self.project_tokens = SourceLinear(shape.tokens, k, fan_in=shape.tokens_fan_in, bias=True)
        self.linear = ElasticLinear(k * (k + 1) // 2, shape.out, bias=not shape.layer_norm)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map dense inputs and tokens to `(B, d)`."""
        k = dot_product_tokens(dim)
        dense = self.project_dense(inputs.dense, self.embedding_dim)  # (B, E)
        tokens = self.project_tokens(inputs.tokens, k)  # (B, E, k)
        vectors = torch.cat([dense.unsqueeze(-1), tokens], dim=-1)  # (B, E, k + 1)
        pairs = _pairwise(vectors)  # (B, k (k + 1) / 2)
        out: Tensor = self.norm(self.linear(pairs, dim))
        return out
