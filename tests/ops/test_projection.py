import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import SparseOp
from nasrec_automl.ops.projection import Projection
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import SparseOpContract


class TestProjection(SparseOpContract):
    @pytest.fixture
    def op_class(self) -> type[SparseOp]:
        return Projection


@pytest.mark.parametrize("layer_norm", [True, False])
def test_a_linear_over_tokens(layer_norm: bool) -> None:
    op, a, b = small_op(Projection, layer_norm=layer_norm), draw(4, 4), draw(4, 2, seed=1)
    weight = torch.cat([op.linear.weights["s0"], op.linear.weights["s1"]], dim=1)
    out = torch.einsum("bet,nt->ben", torch.cat([a, b], dim=2), weight)
    out = F.layer_norm(out, (6,), op.norm.weight, op.norm.bias) if layer_norm else out + op.linear.bias
    torch.testing.assert_close(op([("s0", a), ("s1", b)], 6), out)
    assert (out < 0).any()
