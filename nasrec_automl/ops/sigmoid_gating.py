"""Sigmoid-Gating: the right input, gated by the left one."""

from __future__ import annotations

import torch
from torch import Tensor

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape, add_padded
from nasrec_automl.ops.linear import ElasticLinear, closing_norm


class SigmoidGating(DenseOp):
    """right * sigmoid(Linear(left)), then Linear to d (arXiv 2207.07187).

    Both inputs are, in effect, padded with zeros to the wider of the two and share their weights by position. What
    the padding would multiply is skipped: a zero of `right` makes its gate needless.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        self.gate = ElasticLinear(shape.left, shape.right, bias=True)
        self.linear = ElasticLinear(shape.right, shape.out, bias=True)
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map left and right to `(B, d)`."""
        left, right = add_padded(inputs.left), add_padded(inputs.right)
        gated = right * torch.sigmoid(self.gate(left, right.shape[-1]))  # (B, w_right)
        out: Tensor = self.norm(self.linear(gated, dim))
        return out
