import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.bi_interaction import BiInteraction
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import DenseOpContract


class TestBiInteraction(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return BiInteraction


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
def test_products_of_all_pairs_of_all_inputs_beside_the_dense_ones(layer_norm: bool, dim: int) -> None:
    op = small_op(BiInteraction, layer_norm=layer_norm)
    a, b, x, y = draw(3), draw(5, seed=1), draw(4, 4, seed=2), draw(4, 2, seed=3)
    tokens = torch.cat([x, y], 2).unbind(-1)
    pairs = sum(tokens[i] * tokens[j] for i in range(6) for j in range(i))
    out = F.linear(torch.cat([a, b], 1), torch.cat([op.dense.weights["s0"], op.dense.weights["s1"]], 1)[:dim])
    out = out + F.linear(pairs, op.pooled.weight[:dim])
    if layer_norm:
        out = F.layer_norm(out, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    else:
        out = out + op.dense.bias[:dim]
    inputs = BlockInputs(dense=[("s0", a), ("s1", b)], tokens=[("s0", x), ("s1", y)], left=[], right=[])
    torch.testing.assert_close(op(inputs, dim), out)


def test_one_token_has_no_pair() -> None:
    op = small_op(BiInteraction, layer_norm=False)
    a, x = draw(3), draw(4, 1)
    inputs = BlockInputs(dense=[("s0", a)], tokens=[("s0", x)], left=[], right=[])
    torch.testing.assert_close(op(inputs, 6), op.dense([("s0", a)], 6))


def test_of_bfloat16_tokens_it_keeps_what_is_left_of_two_large_sums() -> None:
    op = small_op(BiInteraction, layer_norm=False).float()
    tokens = torch.full((7, 4, 2), 100.0)
    tokens[..., 1] = 0.125
    results = [
        op(BlockInputs(dense=[("s0", draw(3).float())], tokens=[("s0", x)], left=[], right=[]), 6)
        for x in (tokens, tokens.bfloat16())
    ]
    torch.testing.assert_close(results[0], results[1])
