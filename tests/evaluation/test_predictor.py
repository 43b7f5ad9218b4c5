"""What trainings from scratch say of architectures that were not trained."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.architecture import CROSS, DENSE_OPS, SPARSE_OPS, Architecture
from nasrec_automl.evaluation.predictor import operator_counts, predict_log_losses
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.space import load_search_space
from nasrec_automl.testing.strategies import spaces_and_architectures, with_other_dead_parts

SPACE = load_search_space("nasrec-plus")


def drawn(count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.random(rng) for _ in range(count)]


def crosses(architectures: list[Architecture]) -> np.ndarray:
    return np.array([operator_counts(one)[len(DENSE_OPS) + SPARSE_OPS.index(CROSS)] for one in architectures])


@given(st.data(), spaces_and_architectures())
def test_dead_parts_count_nothing(data: st.DataObject, architecture: Architecture) -> None:
    other = data.draw(with_other_dead_parts(architecture))
    assert operator_counts(other).tolist() == operator_counts(architecture).tolist()


@given(spaces_and_architectures())
def test_all_live_operators_and_mergers_are_counted(architecture: Architecture) -> None:
    counts, live = operator_counts(architecture), architecture.live
    assert counts.shape == (12,)
    assert counts[:6].sum() == sum(one.dense for one in live)
    assert counts[6:10].sum() == sum(one.sparse for one in live)
    assert counts[10:].tolist() == [sum(one.dense_to_sparse for one in live), sum(one.fm for one in live)]


def test_counts_of_a_design() -> None:
    # FC in blocks 1, 2 and N; Cross in 1 and N, and in block 2 an EFC that nothing reads.
    assert operator_counts(hand_designs(SPACE)["hand-dcn"]).tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]


def test_it_finds_the_operator_that_makes_the_difference() -> None:
    trained, others = drawn(16), drawn(200, seed=1)
    noise = np.random.default_rng(2).normal(0, 1e-3, 16)
    predicted = predict_log_losses(trained, 0.5 - 0.01 * crosses(trained) + noise, others)
    truth = 0.5 - 0.01 * crosses(others)
    assert np.corrcoef(predicted, truth)[0, 1] > 0.9


def test_of_noise_it_says_next_to_nothing() -> None:
    trained, others = drawn(16), drawn(200, seed=1)
    spreads = [
        predict_log_losses(trained, np.random.default_rng(seed).normal(0.5, 0.01, 16), others).std()
        for seed in range(10)
    ]
    assert np.median(spreads) < 0.003


def test_a_training_that_diverged_counts_as_the_worst() -> None:
    trained, others = drawn(16), drawn(10, seed=1)
    losses = np.linspace(0.5, 0.6, 16)
    diverged = np.where(np.arange(16) == 3, np.nan, losses)
    worst = np.where(np.arange(16) == 3, 0.6, losses)
    assert predict_log_losses(trained, diverged, others) == pytest.approx(predict_log_losses(trained, worst, others))
