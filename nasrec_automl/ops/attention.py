"""Attention: one transformer layer over the tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.ops.autograd import apply
from nasrec_automl.ops.base import OpShape, Pieces, SparseOp
from nasrec_automl.ops.linear import ElasticLayerNorm, SourceLinear, closing_norm
from nasrec_automl.ops.narrow_layer import NarrowLayer, use_narrow

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
        self.query_key_value, self.out = _linear(e, parts=3), _linear(e)
        self.attended_norm = ElasticLayerNorm(e, scale=_RESIDUAL_SCALE)
        self.feed_in, self.feed_out = _linear(e), _linear(e)
        self.fed_norm = ElasticLayerNorm(e, scale=_RESIDUAL_SCALE)

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Map the tokens to `(B, E, n)`."""
        x = self.norm(self.project(tokens, dim))  # (B, E, n)
        if use_narrow(x, x.shape[1] // self.heads):
            parameters = [p.float() for p in self._in_order()]
            return apply(NarrowLayer, self.heads, torch.is_grad_enabled(), x.float(), *parameters).to(x.dtype)
        x = x.transpose(1, 2).contiguous()  # (B, n, E)
        x = self.attended_norm(self.out(_attend(self.query_key_value(x), self.heads)).add_(x))
        x = self.fed_norm(self.feed_out(F.relu(self.feed_in(x), inplace=True)).add_(x))
        out: Tensor = x.transpose(1, 2).contiguous()
        return out

    def _in_order(self) -> list[Tensor]:
        """Those after the projection, in the order in which they are used."""
        parts = self.query_key_value, self.out, self.attended_norm, self.feed_in, self.feed_out, self.fed_norm
        return [parameter for part in parts for parameter in (part.weight, part.bias)]


def _attend(qkv: Tensor, heads: int) -> Tensor:
    """softmax(q k^T / sqrt(e)) v for each head: `(B, n, 3 E)` to `(B, n, E)`."""
    rows, n, width = qkv.shape
    e = width // 3
    query, key, value = qkv.view(rows, n, 3, heads, e // heads).permute(2, 0, 3, 1, 4)  # (B, H, n, E / H) each
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(rows, n, e)


def _linear(e: int, *, parts: int = 1) -> nn.Linear:
    """Linear from E to so many times E, each part with its own start values."""
    linear = nn.Linear(e, parts * e)
    for part in linear.weight.detach().chunk(parts):
        nn.init.xavier_uniform_(part)
    nn.init.zeros_(linear.bias)
    return linear
