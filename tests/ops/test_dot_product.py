import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.dot_product import DotProduct, PairwiseProducts, _pair_indices, _pair_positions
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestDotProduct(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return DotProduct


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
def test_pairwise_products_of_one_vector_and_k_tokens(layer_norm: bool, dim: int) -> None:
    op, a, b = small_op(DotProduct, layer_norm=layer_norm), draw(3), draw(5, seed=1)
    x, y = draw(4, 4, seed=2), draw(4, 2, seed=3)
    k = round((2 * dim) ** 0.5)
    dense = F.linear(
        torch.cat([a, b], dim=1),
        torch.cat([op.project_dense.weights["s0"], op.project_dense.weights["s1"]], dim=1),
        op.project_dense.bias,
    )
    projection = torch.cat([op.project_tokens.weights["s0"], op.project_tokens.weights["s1"]], dim=1)[:k]
    tokens = F.linear(torch.cat([x, y], dim=2), projection, op.project_tokens.bias[:k])
    vectors = [dense, *tokens.unbind(-1)]
    pairs = [(vectors[i] * vectors[j]).sum(-1) for i in range(k + 1) for j in range(i)]
    weight = op.linear.weight[:dim, : len(pairs)]
    out = F.linear(torch.stack(pairs, dim=1), weight, None if layer_norm else op.linear.bias[:dim])
    if layer_norm:
        out = F.layer_norm(out, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    inputs = BlockInputs(dense=[("s0", a), ("s1", b)], tokens=[("s0", x), ("s1", y)], left=[], right=[])
    torch.testing.assert_close(op(inputs, dim), out)


def test_what_is_kept_while_measuring_serves_a_training() -> None:
    op, a, x = small_op(DotProduct, layer_norm=True), draw(3), draw(4, 4, seed=2)
    inputs = BlockInputs(dense=[("s0", a)], tokens=[("s0", x)], left=[], right=[])
    _pair_indices.cache_clear()
    _pair_positions.cache_clear()
    with torch.inference_mode():
        measured = op(inputs, 6)
    out = op(inputs, 6)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), measured)
    assert all(weight.grad is not None for weight in op.project_tokens.weights.values() if weight.shape[1] == 4)


@pytest.mark.parametrize("vectors", [2, 5])
def test_pairwise_products_have_autograds_gradient(vectors: int) -> None:
    x = draw(3, vectors).requires_grad_()
    assert torch.autograd.gradcheck(PairwiseProducts.apply, (x,))
    assert PairwiseProducts.apply(x).shape == (len(x), vectors * (vectors - 1) // 2)


def test_an_export_leaves_nothing_behind() -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = small_op(DotProduct, layer_norm=True)

        def forward(self, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.op(BlockInputs(dense=[("s0", a)], tokens=[("s0", x)], left=[], right=[]), 6)

    alone, inputs = Alone(), (draw(3), draw(4, 4, seed=2))
    _pair_indices.cache_clear()
    program = torch.export.export(alone, inputs)
    torch.testing.assert_close(program.module()(*inputs), alone(*inputs))
    assert type(alone(*inputs)) is torch.Tensor
