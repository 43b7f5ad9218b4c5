"""EFC: a fully connected layer over the token axis."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.base import OpShape, Pieces, SparseOp
from nasrec_automl.ops.linear import SourceLinear, closing_norm


class EmbeddingFullyConnected(SparseOp):
    """Linear, LayerNorm and ReLU over tokens, each embedding dimension alone (arXiv 2207.07187)."""

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.linear = SourceLinear(shape.tokens, shape.out, fan_in=shape.tokens_fan_in, bias=not shape.layer_norm)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Mix the tokens into `(B, E, n)`."""
        return F.relu(self.norm(self.linear(tokens, dim)), inplace=True)
