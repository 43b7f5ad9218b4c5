import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.sum import Sum
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestSum(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return Sum


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(("left", "right"), [(5, 5), (2, 5), (5, 3)])
def test_the_narrower_input_is_padded_with_zeros(layer_norm: bool, left: int, right: int) -> None:
    op, a, b = small_op(Sum, layer_norm=layer_norm), draw(left), draw(right, seed=1)
    total = F.pad(a, (0, 5 - left)) + F.pad(b, (0, 5 - right))
    out = F.linear(total, op.linear.weight, op.linear.bias)
    if layer_norm:
        out = F.layer_norm(out, (6,), op.norm.weight, op.norm.bias)
    torch.testing.assert_close(op(BlockInputs(dense=[], tokens=[], left=[a], right=[b]), 6), out)
    # The order of the two does not matter: they share one Linear by position.
    torch.testing.assert_close(op(BlockInputs(dense=[], tokens=[], left=[b], right=[a]), 6), out)
