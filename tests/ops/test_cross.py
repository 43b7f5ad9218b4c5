import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import SparseOp
from nasrec_automl.ops.cross import Cross
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import SparseOpContract


class TestCross(SparseOpContract):
    @pytest.fixture
    def op_class(self) -> type[SparseOp]:
        return Cross


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
def test_a_cross_layer_over_projected_tokens(layer_norm: bool, dim: int) -> None:
    op, a, b = small_op(Cross, layer_norm=layer_norm), draw(4, 4), draw(4, 2, seed=1)
    projection = torch.cat([op.project.weights["s0"], op.project.weights["s1"]], dim=1)[:dim]
    tokens = torch.einsum("bet,nt->bne", torch.cat([a, b], dim=2), projection) + op.project.bias[:dim, None]
    # Weights by (token, element) of output and input.
    weight = op.linear.weight.view(6, 4, 6, 4)[:dim, :, :dim]
    factors = torch.einsum("neif,bif->bne", weight, tokens) + op.linear.bias.view(6, 4)[:dim]
    out = (tokens + tokens * factors).transpose(1, 2)
    if layer_norm:
        out = F.layer_norm(out, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    torch.testing.assert_close(op([("s0", a), ("s1", b)], dim), out)


def test_it_multiplies_elements_that_belong_together() -> None:
    """One token whose Linear is the identity: every element times itself, and no other."""
    op = small_op(Cross, layer_norm=False, tokens={"s0": 1}, tokens_fan_in=1, out=1, embedding_dim=3)
    with torch.no_grad():
        for bias in (op.project.bias, op.linear.bias):
            bias.zero_()
        op.project.weights["s0"].fill_(1)
        op.linear.weight.copy_(torch.eye(3))
    x = draw(3, 1)
    torch.testing.assert_close(op([("s0", x)], 1), x + x.square())
