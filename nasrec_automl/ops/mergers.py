"""The two mergers, which carry a block's operators' own outputs from one kind of tensor to the other."""

from __future__ import annotations

from torch import Tensor, nn

from nasrec_automl.architecture import MERGED_TOKENS
from nasrec_automl.ops.base import cast, pair_products
from nasrec_automl.ops.linear import ElasticLinear, closing_norm


class DenseToSparse(nn.Module):
    """Linear d -> 8 E and LayerNorm: eight tokens for the block's sparse output (arXiv 2207.07187)."""

    def __init__(self, dense_dim: int, embedding_dim: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.width = MERGED_TOKENS * embedding_dim
        self.linear = ElasticLinear(dense_dim, self.width, bias=not layer_norm)
        self.norm = closing_norm(self.width, layer_norm)

    def forward(self, dense: Tensor) -> Tensor:
        """Map `(B, d)` to `(B, E, 8)`."""
        merged: Tensor = self.norm(self.linear(dense, self.width))
        return merged.view(-1, self.embedding_dim, MERGED_TOKENS)


class FactorizationMachine(nn.Module):
    """(sum e)^2 - sum e^2 over tokens, Linear E -> d, LayerNorm (arXiv 2207.07187)."""

    def __init__(self, embedding_dim: int, dense_dim: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.linear = ElasticLinear(embedding_dim, dense_dim, bias=not layer_norm)
        self.norm = closing_norm(dense_dim, layer_norm)

    def forward(self, tokens: Tensor, dim: int) -> Tensor:
        """Map `(B, E, n)` to `(B, d)`."""
        out: Tensor = self.norm(self.linear(cast(pair_products([tokens]), self.linear.weight.dtype), dim))
        return out
