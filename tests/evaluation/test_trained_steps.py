from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl.architecture import (
    BI_INTERACTION,
    DOT_PRODUCT,
    EFC,
    FC,
    FLAT_FC,
    SIGMOID_GATING,
    SUM,
    Architecture,
    Block,
    Path,
)
from nasrec_automl.evaluation.trained_steps import trained_steps
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import tiny_space

SPACE = tiny_space(blocks=1, dense_ops=(FC, SUM, DOT_PRODUCT), sparse_ops=(EFC,))
BLOCK = Block(
    dense_op=FC,
    sparse_op=EFC,
    dense_dim=7,
    sparse_dim=3,
    dense_inputs=(0,),
    sparse_inputs=(0,),
    left=0,
    right=0,
    dense_to_sparse=False,
    fm=False,
)


def schedule(space: SearchSpace = SPACE, *, name: str = "single-operator", warm_up: int = 0) -> WarmUp:
    return WarmUp(path_sampler(name, space), steps=warm_up, seed=4)


def test_the_full_path_trains_all_in_every_step() -> None:
    rng = np.random.default_rng(0)
    space = tiny_space()
    drawn = [space.random(rng) for _ in range(5)]
    assert trained_steps(drawn, schedule(space, name="full-path"), 17) == pytest.approx(np.full(5, 17))


def test_counts_of_one_block_are_those_of_its_paths() -> None:
    paths = [schedule().path(step).blocks[0] for step in range(300)]
    wide = Architecture(SPACE, (replace(BLOCK, dense_dim=11, sparse_dim=5),))
    narrow = Architecture(SPACE, (BLOCK,))
    fm, merging = (Architecture(SPACE, (replace(BLOCK, **{name: True}),)) for name in ("fm", "dense_to_sparse"))

    def count(operator: str, width: int) -> int:
        return sum(path.dense_ops == (operator,) and path.dense_dim >= width for path in paths)

    def tokens(width: int) -> int:
        return sum(path.sparse_dim >= width for path in paths)

    def merged(name: str) -> int:
        return sum(getattr(path, name) and path.dense_dim >= 7 for path in paths)

    expected = [
        (count(FC, 11) + tokens(5)) / 2,
        (count(FC, 7) + tokens(3)) / 2,
        (count(FC, 7) + tokens(3) + merged("fm")) / 3,
        (count(FC, 7) + tokens(3) + merged("dense_to_sparse")) / 3,
    ]
    assert trained_steps([wide, narrow, fm, merging], schedule(), 300) == pytest.approx(expected)
    assert expected[0] < expected[1]


def test_dot_product_projects_dense_inputs_to_one_width_whatever_its_own() -> None:
    paths = [schedule().path(step).blocks[0] for step in range(300)]
    having = [path.dense_dim for path in paths if path.dense_ops == (DOT_PRODUCT,)]
    tokens = sum(path.sparse_dim >= 3 for path in paths)
    wide = Architecture(SPACE, (replace(BLOCK, dense_op=DOT_PRODUCT, dense_dim=11),))
    expected = (len(having) + sum(dim >= 11 for dim in having) + tokens) / 3
    assert 0 < sum(dim >= 11 for dim in having) < len(having)
    assert trained_steps([wide], schedule(), 300) == pytest.approx([expected])


def test_what_a_dense_operator_reads_tokens_with_is_a_piece_of_each_source_or_one_of_all() -> None:
    space = tiny_space(blocks=2, dense_ops=(FLAT_FC, BI_INTERACTION), sparse_ops=(EFC,))
    paths = [schedule(space).path(step) for step in range(400)]

    def count(operator: str, tokens: int) -> float:
        second = replace(BLOCK, dense_op=operator, sparse_inputs=(tokens,))
        architecture = Architecture(space, (replace(BLOCK, dense_op=FLAT_FC), second))
        return float(trained_steps([architecture], schedule(space), 400)[0])

    def has(path: Path, operator: str) -> bool:
        return path.blocks[1].dense_ops == (operator,) and path.blocks[1].dense_dim >= 7

    def reads(path: Path, tokens: int) -> bool:
        return tokens in path.blocks[1].sparse_inputs

    for operator in (FLAT_FC, BI_INTERACTION):
        shared = operator == BI_INTERACTION
        dense = sum(has(path, operator) and 0 in path.blocks[1].dense_inputs for path in paths)
        pooled = sum(has(path, operator) and (shared or reads(path, 0)) for path in paths)
        sparse = sum(reads(path, 0) and path.blocks[1].sparse_dim >= 3 for path in paths)
        assert count(operator, 0) == pytest.approx(np.mean([dense, pooled, sparse]))
        first = sum(path.live[0].sparse and path.blocks[0].sparse_dim >= 3 for path in paths)
        pooled = sum(has(path, operator) and (shared or reads(path, 1)) for path in paths)
        sparse = sum(reads(path, 1) and path.blocks[1].sparse_dim >= 3 for path in paths)
        assert count(operator, 1) == pytest.approx(np.mean([first, dense, pooled, sparse]))


def test_warm_up_trains_more() -> None:
    space = tiny_space()
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(4)]
    assert (trained_steps(drawn, schedule(space, warm_up=200), 200) > trained_steps(drawn, schedule(space), 200)).all()


def test_the_path_of_every_step_is_counted_in_all_its_pieces() -> None:
    space = tiny_space()
    rng = np.random.default_rng(7)
    one, other = space.random(rng), space.random(rng)

    class Only(WarmUp):
        def path(self, step: int) -> Path:
            return one.path

    own, others = trained_steps([one, other], Only(path_sampler("single-operator", space), steps=0, seed=0), 3)
    assert own == 3
    assert others < 3


def test_weights_that_sources_share_are_counted_whatever_the_source_is() -> None:
    space = tiny_space(blocks=2, dense_ops=(SUM, SIGMOID_GATING), sparse_ops=(EFC,))
    paths = [schedule(space).path(step) for step in range(400)]

    def count(operator: str, right: int) -> float:
        second = replace(BLOCK, dense_op=operator, right=right)
        architecture = Architecture(space, (replace(BLOCK, dense_op=SUM), second))
        return float(trained_steps([architecture], schedule(space), 400)[0])

    def has(path: Path, number: int, operator: str) -> bool:
        return path.live[number].dense and path.blocks[number].dense_ops == (operator,)

    first = sum(has(path, 0, SUM) and path.blocks[0].dense_dim >= 7 for path in paths)
    added = sum(has(path, 1, SUM) and path.blocks[1].dense_dim >= 7 for path in paths)
    gated = sum(has(path, 1, SIGMOID_GATING) and path.blocks[1].dense_dim >= 7 for path in paths)
    gate = sum(
        has(path, 1, SIGMOID_GATING) and path.blocks[1].right == (1,) and path.blocks[0].dense_dim >= 7
        for path in paths
    )
    tokens = sum(0 in path.blocks[1].sparse_inputs and path.blocks[1].sparse_dim >= 3 for path in paths)
    # Where both inputs are the raw one, nothing reads the first block.
    assert count(SUM, 0) == pytest.approx(np.mean([added, tokens]))
    assert count(SUM, 1) == pytest.approx(np.mean([first, added, tokens]))
    assert count(SIGMOID_GATING, 1) == pytest.approx(np.mean([first, gated, gate, tokens]))
