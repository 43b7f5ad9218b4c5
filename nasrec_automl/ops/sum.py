"""Sum: left plus right, then Linear to d."""

from __future__ import annotations

from torch import Tensor

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape, add_padded
from nasrec_automl.ops.linear import ElasticLinear, closing_norm


class Sum(DenseOp):
    """left + right, the narrower padded with zeros to the wider, then Linear (arXiv 2207.07187)."""

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.linear = ElasticLinear(max(shape.left, shape.right), shape.out, bias=not shape.layer_norm)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map left and right to `(B, d)`."""
        out: Tensor = self.norm(self.linear(add_padded([*inputs.left, *inputs.right]), dim))
        return out
