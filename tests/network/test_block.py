import pytest
import torch

from nasrec_automl.architecture import Live, PathBlock
from nasrec_automl.network.block import Block, Source
from nasrec_automl.network.plan import supernet_plan
from nasrec_automl.testing.examples import tiny_schema, tiny_space

EVERYTHING = Live(dense=True, sparse=True, dense_to_sparse=True, fm=True)


def make(layer_norm: bool = True) -> tuple[Block, list[Source]]:
    torch.manual_seed(0)
    plan = supernet_plan(tiny_space(), tiny_schema(), layer_norm=layer_norm).blocks[2]
    block = Block(2, plan, 8, layer_norm=layer_norm, dropout=0.0)
    raw = Source(torch.rand(5, 3), (("s0", torch.rand(5, 8, 4)),))
    first = Source(torch.rand(5, 7), (("s1", torch.rand(5, 8, 3)), ("s1_merged", torch.rand(5, 8, 8))))
    return block, [raw, first]


def choice(**changes: object) -> PathBlock:
    fields = {
        "dense_ops": ("fc",),
        "sparse_ops": ("efc",),
        "dense_dim": 7,
        "sparse_dim": 5,
        "dense_inputs": (0, 1),
        "sparse_inputs": (0, 1),
        "left": (0,),
        "right": (1,),
        "dense_to_sparse": True,
        "fm": True,
    }
    return PathBlock(**{**fields, **changes})


def test_shapes_and_names() -> None:
    block, sources = make()
    out = block(sources, choice(), EVERYTHING)
    assert out.dense.shape == (5, 7)
    assert [(name, tuple(tokens.shape)) for name, tokens in out.tokens] == [("s2", (5, 8, 5)), ("s2_merged", (5, 8, 8))]


@pytest.mark.parametrize("layer_norm", [True, False])
def test_both_mergers_read_the_operators_own_outputs(layer_norm: bool) -> None:
    block, sources = make(layer_norm)
    plain = Live(dense=True, sparse=True, dense_to_sparse=False, fm=False)
    own = block(sources, choice(), plain)
    dense, tokens = own.dense, own.tokens[0][1]
    out = block(sources, choice(), EVERYTHING)
    torch.testing.assert_close(out.dense, dense + block.fm(tokens, 7))
    torch.testing.assert_close(out.tokens[0][1], tokens)
    torch.testing.assert_close(out.tokens[1][1], block.dense_to_sparse(dense))


def test_outputs_of_several_operators_are_added() -> None:
    block, sources = make()
    live = Live(dense=True, sparse=True, dense_to_sparse=False, fm=False)
    alone = [block(sources, choice(dense_ops=(op,)), live).dense for op in ("fc", "sum", "dot_product")]
    together = block(sources, choice(dense_ops=("fc", "dot_product", "sum")), live).dense
    torch.testing.assert_close(together, sum(alone))
    alone = [block(sources, choice(sparse_ops=(op,)), live).tokens[0][1] for op in ("efc", "attention")]
    together = block(sources, choice(sparse_ops=("efc", "attention")), live).tokens[0][1]
    torch.testing.assert_close(together, sum(alone))


@pytest.mark.parametrize("half", ["dense", "sparse"])
def test_a_dead_half_is_not_run(half: str) -> None:
    block, sources = make()
    for op in (block.sparse_ops if half == "dense" else block.dense_ops).values():
        op.forward = None
    live = Live(dense=half == "dense", sparse=half == "sparse", dense_to_sparse=False, fm=False)
    out = block(sources, choice(), live)
    assert (out.dense is not None) == (half == "dense")
    assert len(out.tokens) == (half == "sparse")
