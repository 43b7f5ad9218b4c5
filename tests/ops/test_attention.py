import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.ops import OpShape, SparseOp
from nasrec_automl.ops.attention import Attention
from nasrec_automl.testing.examples import draw, small_op
from nasrec_automl.testing.pytest_ops import SparseOpContract


class TestAttention(SparseOpContract):
    @pytest.fixture
    def op_class(self) -> type[SparseOp]:
        return Attention


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
def test_a_transformer_layer_over_projected_tokens(layer_norm: bool, dim: int) -> None:
    op, x, y = small_op(Attention, layer_norm=layer_norm, embedding_dim=16), draw(16, 4), draw(16, 2, seed=1)
    weight = torch.cat([op.project.weights["s0"], op.project.weights["s1"]], dim=1)[:dim]
    tokens = F.linear(torch.cat([x, y], dim=2), weight, op.project.bias[:dim])
    if layer_norm:
        tokens = F.layer_norm(tokens, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    tokens = tokens.transpose(1, 2)

    attention = nn.MultiheadAttention(16, 8, batch_first=True).double()
    with torch.no_grad():
        attention.in_proj_weight.copy_(op.query_key_value.weight)
        attention.in_proj_bias.copy_(op.query_key_value.bias)
        attention.out_proj.load_state_dict(op.out.state_dict())
    attended, _ = attention(tokens, tokens, tokens)
    first = F.layer_norm(tokens + attended, (16,), op.attended_norm.weight, op.attended_norm.bias)
    fed = op.feed_out(op.feed_in(first).relu())
    out = F.layer_norm(first + fed, (16,), op.fed_norm.weight, op.fed_norm.bias)
    torch.testing.assert_close(op([("s0", x), ("s1", y)], dim), out.transpose(1, 2))


def test_start_values_and_what_stays_without_a_layer_norm() -> None:
    op = Attention(make_shape())
    for norm in (op.attended_norm, op.fed_norm):
        torch.testing.assert_close(norm.weight, torch.full((4,), 0.17))
    for linear in (op.project, op.query_key_value, op.out, op.feed_in, op.feed_out):
        torch.testing.assert_close(linear.bias, torch.zeros_like(linear.bias))


def make_shape() -> OpShape:
    return OpShape(
        dense={},
        tokens={"s0": 3},
        dense_fan_in=0,
        tokens_fan_in=3,
        left=1,
        right=1,
        out=2,
        embedding_dim=4,
        layer_norm=False,
    )


@pytest.mark.parametrize(("embedding_dim", "heads"), [(16, 8), (12, 4), (6, 2), (5, 1)])
def test_eight_heads_or_as_many_as_divide_the_embedding(embedding_dim: int, heads: int) -> None:
    op = small_op(Attention, layer_norm=True, embedding_dim=embedding_dim)
    assert op.heads == heads
    assert op([("s0", draw(embedding_dim, 4))], 6).shape == (7, embedding_dim, 6)
