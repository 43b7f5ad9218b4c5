"""Bi-Interaction: products of all pairs of tokens, summed, beside the dense inputs."""

from __future__ import annotations

from torch import Tensor

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape, cast, pair_products
from nasrec_automl.ops.linear import ElasticLinear, SourceLinear, closing_norm


class BiInteraction(DenseOp):
    """Linear over the dense inputs and ((sum e)^2 - sum e^2) / 2 of the tokens e (NFM, arXiv 1708.05027, equation 4).

    The FM merger reads what a sparse operator wrote, whose projection mixes the fields and multiplies each with itself
    too. This reads the tokens as they are: over those of `s0` it is the second order of a factorization machine, with
    a factor learned for each embedding dimension.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.dense = SourceLinear(shape.dense, shape.out, fan_in=shape.dense_fan_in, bias=not shape.layer_norm)
        self.pooled = ElasticLinear(shape.embedding_dim, shape.out, bias=False)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map dense inputs and tokens to `(B, d)`."""
        pairs = cast(pair_products([tokens for _, tokens in inputs.tokens]) / 2, self.pooled.weight.dtype)
        out: Tensor = self.norm(self.dense(inputs.dense, dim) + self.pooled(pairs, dim))
        return out
