import math

import numpy as np
import pytest
import torch

from nasrec_automl.training.weighting import pseudo_values


def draw(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=rows), rng.gamma(0.5, size=rows)


def test_without_weights_they_are_the_values_themselves() -> None:
    values, _ = draw(10)
    assert pseudo_values(values, None) is values


def test_their_mean_is_the_weighted_one_in_torch_as_in_numpy() -> None:
    values, weight = draw(50)
    assert pseudo_values(values, weight).mean() == pytest.approx(np.average(values, weights=weight))
    tensors = pseudo_values(torch.from_numpy(values), torch.from_numpy(weight))
    np.testing.assert_allclose(tensors.numpy(), pseudo_values(values, weight))


def test_equal_weights_change_nothing_and_their_unit_neither() -> None:
    values, weight = draw(50)
    np.testing.assert_allclose(pseudo_values(values, np.full(50, 7.0)), values)
    np.testing.assert_allclose(pseudo_values(values, 1000 * weight), pseudo_values(values, weight))


def test_their_error_is_that_of_weighted_means_of_many_samples() -> None:
    drawn = [draw(2000, seed) for seed in range(400)]
    means = [np.average(*pair[:1], weights=pair[1]) for pair in drawn]
    errors = [pseudo_values(*pair).std() / math.sqrt(2000) for pair in drawn]
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    # As if all rows weighed alike, it would be far too small.
    assert np.std(means) > 1.5 * np.mean([values.std() for values, _ in drawn]) / math.sqrt(2000)
