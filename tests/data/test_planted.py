import numpy as np
import pytest

from nasrec_automl.data.planted import Planted, nearest, sigmoid

SHARES = [np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.4]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.7, 0.3])]


def planted(order: int) -> Planted:
    return Planted.draw(SHARES, 1, order, np.random.default_rng(4))


def grid() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Every combination of categories with a dense feature of 2 and -1, and how often each occurs."""
    axes = np.meshgrid(*(np.arange(len(share)) for share in SHARES), [0, 1], indexing="ij")
    *codes, sign = (axis.ravel() for axis in axes)
    weight = np.prod([share[code] for share, code in zip(SHARES, codes, strict=True)], axis=0) / 2
    return codes, 2.0 - 3.0 * sign[:, None], weight


@pytest.mark.parametrize("order", [1, 2, 3])
def test_interactions_are_what_fewer_features_do_not_give(order: int) -> None:
    codes, dense, weight = grid()
    features = [*codes, dense[:, 0].astype(int)]
    pairs, triple = planted(order).interactions(codes, dense)
    for i, first in enumerate(features):  # no mean given one feature; of a triple none given two
        for value in np.unique(first):
            of_one = first == value
            assert weight[of_one] @ pairs[of_one] == pytest.approx(0, abs=1e-12)
            for second in features[:i]:
                for other in np.unique(second):
                    of_two = of_one & (second == other)
                    assert weight[of_two] @ triple[of_two] == pytest.approx(0, abs=1e-12)
    assert np.any(pairs != 0) == (order >= 2)
    assert np.any(triple != 0) == (order >= 3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_rest_of_the_logit_has_no_interaction_left(order: int) -> None:
    codes, dense, _ = grid()
    effects = planted(order)
    pairs, triple = effects.interactions(codes, dense)
    alone = effects.logit(codes, dense) - pairs - triple
    columns = [(feature[:, None] == np.unique(feature)).astype(float) for feature in (*codes, dense[:, 0])]
    design = np.hstack(columns)
    fitted = design @ np.linalg.lstsq(design, alone)[0]
    np.testing.assert_allclose(fitted, alone, atol=1e-10)


def test_lower_orders_stay_what_they_are() -> None:
    codes, dense, _ = grid()
    logits = [planted(order).logit(codes, dense) for order in (1, 2, 3)]
    np.testing.assert_array_equal(planted(1).effects[0], planted(3).effects[0])
    np.testing.assert_array_equal(planted(1).mixed, planted(3).mixed)
    assert not np.allclose(logits[0], logits[1])
    assert not np.allclose(logits[1], logits[2])


def test_the_nearest_probabilities_are_rescaled_ones() -> None:
    logit = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_allclose(nearest(logit, sigmoid(0.4 * logit - 2.0)), sigmoid(0.4 * logit - 2.0), atol=1e-9)
    noise = np.random.default_rng(1).normal(size=1000)
    found = nearest(logit, sigmoid(logit + 2 * noise))
    assert np.std(np.log(found / (1 - found))) < 0.9  # what cannot be known flattens it
