import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.sigmoid_gating import SigmoidGating
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestSigmoidGating(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return SigmoidGating


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(("left", "right"), [(5, 5), (2, 5), (5, 3)])
def test_right_gated_by_left_both_padded_with_zeros(layer_norm: bool, left: int, right: int) -> None:
    op, a, b = small_op(SigmoidGating, layer_norm=layer_norm), draw(left), draw(right, seed=1)
    gate = torch.sigmoid(F.linear(F.pad(a, (0, 5 - left)), op.gate.weight, op.gate.bias))
    out = F.linear(F.pad(b, (0, 5 - right)) * gate, op.linear.weight, op.linear.bias)
    if layer_norm:
        out = F.layer_norm(out, (6,), op.norm.weight, op.norm.bias)
    torch.testing.assert_close(op(BlockInputs(dense=[], tokens=[], left=[a], right=[b]), 6), out)


def test_biases_stay_with_a_layer_norm() -> None:
    op = small_op(SigmoidGating, layer_norm=True)
    assert op.gate.bias is not None
    assert op.linear.bias is not None
