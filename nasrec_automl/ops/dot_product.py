"""Dot-Product: pairwise products of a projected dense vector and k projected tokens."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from nasrec_automl.cost import dot_product_tokens
from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape
from nasrec_automl.ops.linear import ElasticLinear, SourceLinear, closing_norm


def _make_pair_indices(vectors: int) -> Tensor:
    """Flat indices of the pairs below the diagonal; those of fewer vectors come first."""
    rows, columns = torch.tril_indices(vectors, vectors, -1)
    indices: Tensor = rows * vectors + columns
    return indices


@cache
def _pair_indices(vectors: int) -> Tensor:
    # Kept for the whole process: made while a model is measured, it must serve a training too.
    with torch.inference_mode(False):
        return _make_pair_indices(vectors)


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
        products = torch.bmm(vectors.transpose(1, 2), vectors).flatten(1)  # (B, (k + 1)^2)
        # Not kept where a compiler or an exporter runs this: its tensors hold no values.
        indices = _make_pair_indices(k + 1) if torch.compiler.is_compiling() else _pair_indices(k + 1)
        pairs = products.index_select(1, indices.to(products.device))  # (B, k (k + 1) / 2)
        out: Tensor = self.norm(self.linear(pairs, dim))
        return out
