import pytest
from hypothesis import given

from nasrec_automl.architecture import Architecture
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.strategies import search_spaces

NASREC = ("fc", "dot_product", "sigmoid_gating", "sum")


@given(search_spaces())
def test_designs_are_of_their_space_and_of_different_keys(space: SearchSpace) -> None:
    designs = hand_designs(space)
    for design in designs.values():
        assert space.validate_architecture(design) == design
    assert len({design.key for design in designs.values()}) == len(designs)


@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small"])
def test_nasrecs_spaces_express_all_three(name: str) -> None:
    designs = hand_designs(load_search_space(name))
    assert list(designs) == ["hand-mlp", "hand-dlrm", "hand-deepfm"]
    for design in designs.values():
        assert sum(b.dense or b.sparse for b in design.live) == 3
    mlp, dlrm, deepfm = designs.values()
    assert {block.dense_op for block in live_blocks(mlp)} == {"fc"}
    assert "dot_product" in {block.dense_op for block in live_blocks(dlrm)}
    assert not any(live.fm or live.dense_to_sparse for live in (*mlp.live, *dlrm.live))
    assert any(live.fm for live in deepfm.live)


def test_a_space_with_cross_expresses_a_cross_network_too() -> None:
    dcn = hand_designs(load_search_space("nasrec-plus"))["hand-dcn"]
    crosses = [(b.sparse_op, b.sparse_inputs) for b, live in zip(dcn.blocks, dcn.live, strict=True) if live.sparse]
    assert crosses == [("cross", (0,)), ("cross", (0, 1))]
    assert len(live_blocks(dcn)) == 3
    assert "hand-dcn" in hand_designs(tiny_space(blocks=1))


def test_a_space_that_has_their_operators_expresses_the_tower_and_deepfm_as_published() -> None:
    designs = hand_designs(load_search_space("nasrec-plus"))
    assert list(designs) == ["hand-mlp", "hand-dlrm", "hand-deepfm", "hand-dcn"]
    towers = [designs["hand-mlp"], designs["hand-deepfm"]]
    for tower, last in zip(towers, ("fc", "bi_interaction"), strict=True):
        assert [block.dense_op for block in live_blocks(tower)] == ["flat_fc", "fc", last]
        # What the layer, the pairs and the head read of the embeddings, they read of the raw ones.
        assert [block.sparse_inputs for block in (tower.blocks[0], tower.blocks[-1])] == [(0,), (0,)]
        assert [block.sparse_op for block, live in zip(tower.blocks, tower.live, strict=True) if live.sparse] == [
            "projection"
        ]
        assert not any(live.fm for live in tower.live)
    assert [block.dense_op for block in live_blocks(designs["hand-dcn"])] == ["fc", "fc", "fc"]
    bare = hand_designs(tiny_space(sparse_ops=("efc",)))["hand-deepfm"].blocks[-1]
    assert (bare.dense_op, bare.sparse_op, bare.sparse_inputs) == ("bi_interaction", "efc", (0,))
    one = hand_designs(tiny_space(blocks=1))["hand-deepfm"].blocks[0]
    assert (one.dense_op, one.sparse_op) == ("bi_interaction", "projection")


def live_blocks(architecture: Architecture) -> list[object]:
    return [b for b, live in zip(architecture.blocks, architecture.live, strict=True) if live.dense]


def test_what_a_space_cannot_express_is_left_out() -> None:
    assert list(hand_designs(tiny_space(dense_ops=NASREC, fm=(False,)))) == ["hand-mlp", "hand-dlrm", "hand-dcn"]
    assert "hand-deepfm" in hand_designs(tiny_space(fm=(False,)))
    assert list(hand_designs(tiny_space(dense_ops=("fc",)))) == ["hand-mlp", "hand-deepfm", "hand-dcn"]
    assert list(hand_designs(tiny_space(sparse_ops=("efc",)))) == ["hand-mlp", "hand-dlrm", "hand-deepfm"]
    assert hand_designs(tiny_space(dense_ops=("sum",))) == {}
