"""Flat-FC: Linear over the dense inputs and every element of the tokens, LayerNorm, ReLU."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape
from nasrec_automl.ops.linear import SourceLinear, closing_norm


class FlatFullyConnected(DenseOp):
    """Fully connected layer over the concatenated dense inputs and flattened tokens.

    NASRec's towers mix dense features among themselves, and each embedding dimension by itself. This is the first layer
    of the deep part of Wide & Deep (arXiv 1606.07792), DeepFM (arXiv 1703.04247) and DCN V2 (arXiv 2008.13535).
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        e = shape.embedding_dim
        fan_in = shape.dense_fan_in + e * shape.tokens_fan_in  # they start as one matrix
        elements = {name: e * count for name, count in shape.tokens.items()}
        self.dense = SourceLinear(shape.dense, shape.out, fan_in=fan_in, bias=not shape.layer_norm)
        self.tokens = SourceLinear(elements, shape.out, fan_in=fan_in, bias=False)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map dense inputs and tokens to `(B, d)`."""
        # Token by token, so that fewer tokens are a leading slice of the weight.
        flat = [(name, tokens.transpose(1, 2).flatten(1)) for name, tokens in inputs.tokens]  # (B, N E) each
        total = self.dense(inputs.dense, dim) + self.tokens(flat, dim)
        return F.relu(self.norm(total), inplace=True)
