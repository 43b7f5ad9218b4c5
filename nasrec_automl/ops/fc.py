"""FC: Linear over the dense inputs, LayerNorm, ReLU."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape
from nasrec_automl.ops.linear import SourceLinear, closing_norm


class FullyConnected(DenseOp):
    """Fully connected layer over the concatenated dense inputs (arXiv 2207.07187)."""

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.linear = SourceLinear(shape.dense, shape.out, fan_in=shape.dense_fan_in, bias=not shape.layer_norm)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map the dense inputs to `(B, d)`."""
        return F.relu(self.norm(self.linear(inputs.dense, dim)), inplace=True)
