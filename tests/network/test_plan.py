import numpy as np
from hypothesis import given

from nasrec_automl.architecture import Architecture
from nasrec_automl.network.plan import merged_name, source_name, subnet_plan, supernet_plan
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_search_space
from nasrec_automl.testing.examples import tiny_schema, tiny_space
from nasrec_automl.testing.strategies import spaces_and_architectures


def test_names() -> None:
    assert (source_name(3), merged_name(3)) == ("s3", "s3_merged")


def test_the_supernet_holds_every_choice_at_its_largest() -> None:
    space = load_search_space("nasrec-full")
    plan = supernet_plan(space, FeatureSchema.from_sizes(dense=13, table_sizes=[9] * 26), layer_norm=True)
    assert list(plan.blocks) == list(range(1, 8))
    shape = plan.blocks[3].dense["dot_product"]
    assert shape.dense == {"s0": 13, "s1": 1024, "s2": 1024}
    assert shape.tokens == {"s0": 26, "s1": 64, "s1_merged": 8, "s2": 64, "s2_merged": 8}
    assert (shape.left, shape.right, shape.out) == (1024, 1024, 1024)
    # Start values are those of one matrix over the inputs that a path has: at most four, here the widest.
    assert plan.blocks[7].dense["fc"].dense_fan_in == 4 * 1024
    assert plan.blocks[7].sparse["efc"].tokens_fan_in == 4 * 72
    assert plan.blocks[1].dense["sum"].left == 13
    assert (plan.head_dense, plan.head_tokens) == (1024, {"s7": 64, "s7_merged": 8})


def test_a_wide_raw_input_counts() -> None:
    plan = supernet_plan(tiny_space(), FeatureSchema.from_sizes(dense=50, table_sizes=[9] * 3), layer_norm=True)
    assert plan.blocks[3].dense["sum"].left == 50
    assert plan.blocks[3].dense["fc"].dense_fan_in == 50 + 11


def test_what_a_space_never_chooses_is_not_built() -> None:
    space = tiny_space(dense_ops=("fc",), sparse_ops=("efc",), dense_to_sparse=(False,), fm=(False,))
    block = supernet_plan(space, tiny_schema(), layer_norm=True).blocks[2]
    assert (list(block.dense), list(block.sparse)) == (["fc"], ["efc"])
    assert not block.dense_to_sparse
    assert not block.fm
    assert block.dense["fc"].tokens == {"s0": 4, "s1": 5}


@given(spaces_and_architectures())
def test_a_subnets_shapes_lie_within_the_supernets(architecture: Architecture) -> None:
    large = supernet_plan(architecture.space, tiny_schema(), layer_norm=True)
    small = subnet_plan(architecture, tiny_schema(), layer_norm=True)
    assert small.head_dense <= large.head_dense
    for number, block in small.blocks.items():
        for mine, theirs in ((block.dense, large.blocks[number].dense), (block.sparse, large.blocks[number].sparse)):
            for op, shape in mine.items():
                within = theirs[op]
                assert shape.out <= within.out
                assert all(width <= within.dense[name] for name, width in shape.dense.items())
                assert all(count <= within.tokens[name] for name, count in shape.tokens.items())
                assert shape.left <= within.left
                assert shape.right <= within.right
                # A path's inputs together are at most what the weights were scaled for.
                assert shape.dense_fan_in <= within.dense_fan_in
                assert shape.tokens_fan_in <= within.tokens_fan_in


def test_a_subnets_fan_in_is_that_of_its_own_inputs() -> None:
    space = tiny_space()
    for seed in range(20):
        architecture = space.random(np.random.default_rng(seed))
        for block in subnet_plan(architecture, tiny_schema(), layer_norm=True).blocks.values():
            for shape in (*block.dense.values(), *block.sparse.values()):
                assert shape.dense_fan_in == sum(shape.dense.values())
                assert shape.tokens_fan_in == sum(shape.tokens.values())
