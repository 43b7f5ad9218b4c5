"""Cross: tokens, and their products with a Linear of themselves."""

from __future__ import annotations

from torch import Tensor

from nasrec_automl.ops.base import OpShape, Pieces, SparseOp
from nasrec_automl.ops.linear import ElasticLinear, SourceLinear, closing_norm


class Cross(SparseOp):
    """x + x * Linear(x), element by element, of tokens x projected to n (DCN V2, arXiv 2008.13535, equation 1).

    NASRec's products of embeddings are summed: Dot-Product's over E, the FM merger's over all pairs of tokens. Here
    each stays, with a factor learned from all n E elements. The projected tokens stand for both the raw input and the
    layer's own one of the paper; several blocks in a row that read `s0` too make its deeper networks. Biases stay
    where operators end in a LayerNorm.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        elements = shape.out * shape.embedding_dim
        self.project = SourceLinear(shape.tokens, shape.out, fan_in=shape.tokens_fan_in, bias=True)
        self.linear = ElasticLinear(elements, elements, bias=True)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, tokens: Pieces, dim: int) -> Tensor:
        """Map the tokens to `(B, E, n)`."""
        x = self.project(tokens, dim)  # (B, E, n)
        by_token = x.transpose(1, 2)  # token by token, so that fewer tokens are a leading slice of the Linear
        factors = self.linear(by_token.flatten(1), dim * x.shape[1]).view_as(by_token).transpose(1, 2)
        out: Tensor = self.norm(x + x * factors)
        return out
