import numpy as np
import pytest

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS, Path
from nasrec_automl.randomness import rng_for
from nasrec_automl.sampling import PATH_SAMPLERS, WarmUp, path_sampler
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.testing.examples import assert_path_of, tiny_space

SPACE = tiny_space(blocks=4)
FULL = full_path(SPACE)


def make(*, steps: int = 100, seed: int = 0, sampling: str = "single-operator") -> WarmUp:
    return WarmUp(path_sampler(sampling, SPACE), steps=steps, seed=seed)


def full_wiring(path: Path) -> bool:
    keys = ("dense_inputs", "sparse_inputs", "left", "right")
    return all(
        getattr(block, key) == getattr(full, key)
        for block, full in zip(path.blocks, FULL.blocks, strict=True)
        for key in keys
    )


def full_operators(path: Path) -> list[bool]:
    return [(block.dense_ops, block.sparse_ops) == (DENSE_OPS, SPARSE_OPS) for block in path.blocks]


def test_probability_falls_linearly_to_zero() -> None:
    warm_up = make(steps=8)
    assert [warm_up.full_probability(step) for step in (0, 2, 4, 8, 80)] == [1, 0.75, 0.5, 0, 0]
    assert make(steps=0).full_probability(0) == 0


def test_the_first_step_trains_the_whole_supernet_and_steps_after_the_warm_up_none_of_it() -> None:
    for seed in range(10):
        warm_up = make(seed=seed)
        assert warm_up.path(0) == FULL
        for step in (100, 101, 5000):
            expected = warm_up.sampler.sample(rng_for("path", seed, step))
            assert warm_up.path(step) == expected


@pytest.mark.parametrize("step", [20, 50, 80])
def test_wiring_and_every_blocks_operators_toss_independent_coins(step: int) -> None:
    # The same step of many trainings: coins of probability 1 - t / T.
    paths = [make(seed=seed).path(step) for seed in range(1500)]
    coins = np.array([[full_wiring(path), *full_operators(path)] for path in paths], dtype=float)
    # A sampled wiring is never full here: block 4 may read 2 of its 4 sources.
    np.testing.assert_allclose(coins.mean(0), 1 - step / 100, atol=0.05)
    correlation = np.corrcoef(coins.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.1


def test_full_operators_come_with_the_largest_widths_and_both_mergers() -> None:
    for seed in range(50):
        path = make(seed=seed).path(50)
        for block, is_full in zip(path.blocks, full_operators(path), strict=True):
            if is_full:
                assert (block.dense_dim, block.sparse_dim) == (11, 5)
                assert block.dense_to_sparse
                assert block.fm


@pytest.mark.parametrize("sampling", PATH_SAMPLERS)
def test_a_path_is_a_function_of_seed_and_step(sampling: str) -> None:
    first, resumed = make(sampling=sampling), make(sampling=sampling)
    paths = [first.path(step) for step in range(150)]
    for path in paths:
        assert_path_of(path, SPACE)
    # Another process, which starts in the middle and asks in another order.
    assert [resumed.path(step) for step in range(149, 99, -1)] == paths[:99:-1]
    if sampling != "full-path":
        assert len(set(paths)) > 100
        assert make(sampling=sampling, seed=1).path(120) != paths[120]
