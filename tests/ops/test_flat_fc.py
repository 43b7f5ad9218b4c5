import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.flat_fc import FlatFullyConnected
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestFlatFullyConnected(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return FlatFullyConnected


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
def test_a_layer_over_dense_inputs_and_every_element(layer_norm: bool, dim: int) -> None:
    op = small_op(FlatFullyConnected, layer_norm=layer_norm)
    a, b, x, y = draw(3), draw(5, seed=1), draw(4, 4, seed=2), draw(4, 2, seed=3)
    # Weights by (token, element) of each input.
    of_x, of_y = (op.tokens.weights[name][:dim].view(dim, -1, 4)[:, : t.shape[2]] for name, t in (("s0", x), ("s1", y)))
    out = F.linear(torch.cat([a, b], 1), torch.cat([op.dense.weights["s0"], op.dense.weights["s1"]], 1)[:dim])
    out = out + torch.einsum("ben,dne->bd", x, of_x) + torch.einsum("ben,dne->bd", y, of_y)
    if layer_norm:
        out = F.layer_norm(out, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    else:
        out = out + op.dense.bias[:dim]
    inputs = BlockInputs(dense=[("s0", a), ("s1", b)], tokens=[("s0", x), ("s1", y)], left=[], right=[])
    torch.testing.assert_close(op(inputs, dim), out.relu())


def test_its_weights_start_as_those_of_one_matrix() -> None:
    """Xavier-uniform of all that it reads: 8 dense inputs and 6 tokens of 4 elements."""
    op = small_op(FlatFullyConnected, layer_norm=True, out=400)
    bound = (6 / (8 + 6 * 4 + 400)) ** 0.5
    for linear in (op.dense, op.tokens):
        largest = max(weight.abs().max().item() for weight in linear.weights.values())
        assert 0.95 * bound < largest <= bound
