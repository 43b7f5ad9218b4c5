"""Attention: one transformer layer over the tokens."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.ops.base import OpShape, Pieces, SparseOp
from nasrec_automl.ops.linear import ElasticLayerNorm, SourceLinear, closing_norm

HEADS = 8
"""Attention heads; where E is no multiple of it, their greatest common divisor."""

_RESIDUAL_SCALE = 0.17


class Attention(SparseOp):
    """Tokens projected to n, then self-attention and a feed-forward layer over E (arXiv 2207.07187).

    Its Linears have biases and its two LayerNorms over E stay, whether or not operators end in a LayerNorm.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        e = shape.embedding_dim
        self.heads = math.gcd(HEADS, e)
        self.project = SourceLinear(shape.tokens, shape.out, fan_in=shape.tokens_fan_in, bias=True)
        self.norm = closing_norm(shape.out, shape.layer_norm)
        self.query, self.key, self.value, self.out = (_linear(e) for _ in range(4))
        self.attended_norm = ElasticLayerNorm(e, scale=_RESIDUAL_SCALE)
        self.feed_in, self.feed_out = _linear(e), _linear(e)
        self.fed_norm = ElasticLayerNorm(e, scale=_RESIDUAL_SCALE)

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Map the tokens to `(B, E, n)`."""
        x = self.norm(self.project(tokens, dim)).transpose(1, 2)  # (B, n, E)
        x = self.attended_norm(x + self.out(self._attend(x)))
        x = self.fed_norm(x + self.feed_out(F.relu(self.feed_in(x))))
        out: Tensor = x.transpose(1, 2)
        return out

    def _attend(self, x: Tensor) -> Tensor:
        rows, n, e = x.shape

        def split(y: Tensor) -> Tensor:
            return y.reshape(rows, n, self.heads, e // self.heads).transpose(1, 2)  # (B, H, n, E / H)

        attended = F.scaled_dot_product_attention(split(self.query(x)), split(self.key(x)), split(self.value(x)))
        return attended.transpose(1, 2).reshape(rows, n, e)


def _linear(e: int) -> nn.Linear:
    linear = nn.Linear(e, e)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
