"""EFC: a fully connected layer over the token axis."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.base import Pieces
from nasrec_automl.ops.projection import Projection


class EmbeddingFullyConnected(Projection):
    """Linear, LayerNorm and ReLU over tokens, each embedding dimension alone (arXiv 2207.07187)."""

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Mix the tokens into `(B, E, n)`."""
        return F.relu(super().forward(tokens, dim), inplace=True)
