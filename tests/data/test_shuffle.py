import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.shuffle import BlockShuffle


@settings(deadline=None, max_examples=100)
@given(
    rows=st.integers(1, 300),
    block=st.integers(1, 20),
    blocks=st.integers(1, 5),
    size=st.integers(1, 50),
    epoch=st.integers(0, 3),
)
def test_an_epoch_has_every_row_once_however_it_is_asked(
    rows: int, block: int, blocks: int, size: int, epoch: int
) -> None:
    shuffle = BlockShuffle(rows, 7, block_rows=block, window_blocks=blocks)
    starts = range(0, rows, size)
    pieces = [shuffle.positions(epoch, start, min(rows, start + size)) for start in starts]
    whole = np.concatenate(pieces)
    assert sorted(whole.tolist()) == list(range(rows))
    fresh = BlockShuffle(rows, 7, block_rows=block, window_blocks=blocks)
    for start, piece in reversed(list(zip(starts, pieces, strict=True))):
        np.testing.assert_array_equal(fresh.positions(epoch, start, min(rows, start + size)), piece)


def test_seed_and_epoch_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return BlockShuffle(200, seed, block_rows=5, window_blocks=4).positions(epoch, 0, 200).tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_a_pickle_is_small_and_its_order_the_same() -> None:
    shuffle = BlockShuffle(100_000, 7, block_rows=5, window_blocks=4000)
    expected = shuffle.positions(3, 19_000, 21_000)
    pickled = pickle.dumps(shuffle)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled).positions(3, 19_000, 21_000), expected)


def test_few_rows_are_a_plain_permutation() -> None:
    # The order that trainings of small data have always had.
    expected = np.random.default_rng((3, 2)).permutation(100)
    np.testing.assert_array_equal(BlockShuffle(100, 3).positions(2, 0, 100), expected)


@pytest.mark.parametrize("window", range(5))
def test_a_window_has_the_rows_of_few_blocks_in_no_order(window: int) -> None:
    rows = BlockShuffle(1000, 1, block_rows=20, window_blocks=10).positions(0, window * 200, window * 200 + 200)
    assert len(set(rows // 20)) == 10
    assert abs(np.corrcoef(np.arange(200), rows)[0, 1]) < 0.3
    assert np.abs(np.diff(rows)).min() >= 1
    assert (np.diff(rows) == 1).mean() < 0.05
