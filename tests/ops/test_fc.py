import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.fc import FullyConnected
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestFullyConnected(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return FullyConnected


@pytest.mark.parametrize("layer_norm", [True, False])
def test_linear_over_the_concatenation_then_layer_norm_and_relu(layer_norm: bool) -> None:
    op, a, b = small_op(FullyConnected, layer_norm=layer_norm), draw(3), draw(5, seed=1)
    weight = torch.cat([op.linear.weights["s0"], op.linear.weights["s1"]], dim=1)
    out = F.linear(torch.cat([a, b], dim=1), weight, op.linear.bias)
    if layer_norm:
        assert op.linear.bias is None, "the LayerNorm's bias makes the Linear's needless"
        out = F.layer_norm(out, (6,), op.norm.weight, op.norm.bias)
    inputs = BlockInputs(dense=[("s0", a), ("s1", b)], tokens=[], left=[], right=[])
    torch.testing.assert_close(op(inputs, 6), out.relu())
