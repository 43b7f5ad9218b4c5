import numpy as np

from nasrec_automl.sampling.base import draw_some


def test_draws_keep_the_order_and_follow_one_plus_a_binomial() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_some("abcd", rng) for _ in range(4000)]
    assert all(list(draw) == sorted(set(draw)) for draw in draws)
    sizes = np.bincount([len(draw) for draw in draws], minlength=5)[1:] / len(draws)
    np.testing.assert_allclose(sizes, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=0.025)
    for letter in "abcd":
        assert abs(np.mean([letter in draw for draw in draws]) - 2.5 / 4) < 0.025


def test_a_single_item_is_always_drawn() -> None:
    assert draw_some(["only"], np.random.default_rng(0)) == ("only",)
