"""Projection: a Linear over the token axis."""

from __future__ import annotations

from torch import Tensor

from nasrec_automl.ops.base import OpShape, Pieces, SparseOp
from nasrec_automl.ops.linear import SourceLinear, closing_norm


class Projection(SparseOp):
    """Linear and LayerNorm over tokens, each embedding dimension alone: EFC (arXiv 2207.07187) without its ReLU.

    In the last block and without LayerNorm it brings the embeddings to the head by linear maps alone, as the linear
    part of Wide & Deep (arXiv 1606.07792) and of factorization machines does. LayerNorm divides by the spread of the
    tokens, which is not linear.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.linear = SourceLinear(shape.tokens, shape.out, fan_in=shape.tokens_fan_in, bias=not shape.layer_norm)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Mix the tokens into `(B, E, n)`."""
        out: Tensor = self.norm(self.linear(tokens, dim))
        return out
