"""Statistics of a ranking: what they must be by their meaning, and the same computed slowly."""

import itertools
import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from nasrec_automl.ranking import (
    Ranking,
    ceiling_tau,
    equal_groups,
    error_of_mean,
    judge_ranking,
    kendall_tau,
    rank_residual,
    spearman_rho,
    top_precision,
    top_regret,
)

numbers = st.integers(-5, 5).map(float)  # few values: ties are common
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30).map(lambda rows: np.array(rows).T)
judge = partial(judge_ranking, resamples=20)
orders = st.permutations(range(20)).map(lambda order: np.array(order, dtype=float))


@given(pairs)
def test_tau_and_rho_are_scipys(both: np.ndarray) -> None:
    first, second = both
    with np.errstate(all="ignore"):
        for ours, theirs in ((kendall_tau, kendalltau), (spearman_rho, spearmanr)):
            if np.ptp(first) and np.ptp(second):
                assert ours(first, second) == pytest.approx(theirs(first, second).statistic)
            else:
                assert math.isnan(ours(first, second))


@given(pairs, st.integers(1, 4))
def test_tau_within_groups_is_that_of_their_pairs(both: np.ndarray, count: int) -> None:
    first, second = both
    groups = np.arange(len(first)) % count
    agree, x_untied, y_untied = 0.0, 0, 0
    for i, j in itertools.combinations(range(len(first)), 2):
        if groups[i] == groups[j]:
            x, y = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
            agree, x_untied, y_untied = agree + x * y, x_untied + abs(x), y_untied + abs(y)
    assume(x_untied and y_untied)
    assert kendall_tau(first, second, groups) == pytest.approx(agree / math.sqrt(x_untied * y_untied))


@given(st.lists(st.lists(st.floats(0, 1, width=16), min_size=3, max_size=3), min_size=4, max_size=12))
def test_the_ceiling_is_the_mean_over_the_ways_to_leave_one_of_three_out(rows: list[list[float]]) -> None:
    losses = np.array(rows)
    one_out = [
        kendalltau(losses[:, seed], losses[:, [other for other in range(3) if other != seed]].mean(axis=1)).statistic
        for seed in range(3)
    ]
    assume(not np.isnan(one_out).any())
    assert ceiling_tau(losses) == pytest.approx(np.mean(one_out))


def test_the_ceiling_of_few_seeds() -> None:
    rng = np.random.default_rng(0)
    losses = rng.random((9, 4))
    assert math.isnan(ceiling_tau(losses[:, :1]))
    assert ceiling_tau(losses[:, :2]) == pytest.approx(kendalltau(losses[:, 0], losses[:, 1]).statistic)
    halves = [((0, 1), (2, 3)), ((3, 0), (1, 2))]  # neighbours in a ring, each twice
    expected = [kendalltau(losses[:, a].mean(axis=1), losses[:, b].mean(axis=1)).statistic for a, b in halves]
    assert ceiling_tau(losses) == pytest.approx(np.mean(expected))


@given(orders)
def test_a_perfect_order_is_as_good_as_can_be(order: np.ndarray) -> None:
    found = judge(np.exp(order), order[:, None] + np.zeros((20, 2)), order + 1, order)
    assert (found.tau.value, found.spearman.value, found.top_decile.value) == pytest.approx((1, 1, 1))
    assert (found.regret.value, found.strata_tau.value) == pytest.approx((0, 1))
    assert found.ceiling is not None
    assert (found.ceiling.value, found.size_tau.value, found.share_of_ceiling) == pytest.approx((1, 1, 1))
    assert not found.larger_is_better
    assert not found.beats_size, "it is as good, not better"
    assert found.tau.low == pytest.approx(1)
    assert found.training_bias is not None
    assert math.isnan(found.training_bias.value), "nothing is left of the score"


@given(orders)
def test_a_reversed_order_is_as_bad_as_can_be(order: np.ndarray) -> None:
    found = judge(-order, order[:, None], 21 - order)
    assert (found.tau.value, found.spearman.value, found.top_decile.value) == pytest.approx((-1, -1, 0))
    assert found.regret.value == pytest.approx(19)
    assert (found.ceiling, found.training_bias, found.seeds) == (None, None, 1)
    assert (found.size_tau.value, found.larger_is_better) == (pytest.approx(1), True)


def test_scores_or_log_losses_that_are_all_the_same_have_no_tau_and_no_share_of_the_ceiling() -> None:
    order = np.arange(8.0)
    losses = np.stack([order, order], axis=1)
    for same in (judge(np.zeros(8), losses, order + 1), judge(order, np.zeros((8, 2)), order + 1)):
        assert same.ceiling is not None
        assert (same.share_of_ceiling, same.tau_in_words) == (None, "the scores or the log losses are all the same")
    assert judge(order, losses, order + 1).tau_in_words == "tau 1.00"


@given(orders, orders, st.permutations(range(20)))
def test_nothing_depends_on_the_order_of_architectures_or_the_scale_of_scores(
    scores: np.ndarray, truth: np.ndarray, order: list[int]
) -> None:
    def values(x: np.ndarray, y: np.ndarray, sizes: np.ndarray) -> list[float]:
        found = judge(x, y[:, None], sizes, sizes)
        assert found.training_bias is not None
        estimates = (found.tau, found.spearman, found.top_decile, found.regret, found.size_tau, found.strata_tau)
        return [one.value for one in (*estimates, found.training_bias)]

    sizes = np.arange(20.0) ** 2
    before = values(scores, truth, sizes)
    assert before == pytest.approx(values(scores[order], truth[order], sizes[order]), nan_ok=True)
    assert before == pytest.approx(values(np.log1p(scores) * 3, truth, np.log1p(sizes)), nan_ok=True)


@given(orders, orders)
def test_an_interval_is_ordered_and_inside_what_is_possible(scores: np.ndarray, truth: np.ndarray) -> None:
    found = judge(scores, np.stack([truth, scores], axis=1), truth)
    for one, least in ((found.tau, -1), (found.strata_tau, -1), (found.top_decile, 0), (found.spearman, -1)):
        assert least <= one.low <= one.high <= 1
    assert 0 <= found.regret.low <= found.regret.high
    assert found.beats_size == (found.tau.value > found.size_tau.value)
    assert found.lead.value == pytest.approx(found.tau.value - found.size_tau.value)
    assert found.lead.low <= found.tau.high - found.size_tau.low


def test_intervals_cover_the_truth_about_as_often_as_they_say_and_narrow_with_more_architectures() -> None:
    rng = np.random.default_rng(3)

    def covered_and_width(number: int) -> list[tuple[bool, float]]:
        found = [
            judge_ranking(rng.random(number), rng.random((number, 1)), rng.random(number), resamples=200).tau
            for _ in range(40)
        ]
        return [(one.low < 0 < one.high, one.high - one.low) for one in found]

    for number in (15, 60):
        covered, width = np.mean(covered_and_width(number), axis=0)
        error = math.sqrt(2 * (2 * number + 5) / (9 * number * (number - 1)))  # of unrelated orders (Kendall 1938)
        assert covered > 0.8
        assert width == pytest.approx(2 * 1.96 * error, rel=0.25)


@pytest.mark.parametrize("number", [3, 5, 6])
def test_of_few_architectures_there_is_no_interval_and_nothing_is_sure(number: int) -> None:
    order, sizes = np.arange(float(number)), np.roll(np.arange(float(number)), 1)
    found = judge_ranking(order, np.stack([order, order], axis=1), sizes)
    assert (found.tau.value, found.beats_size) == (1, True)
    assert found.tau.has_interval == found.lead.has_interval == (number >= 6)
    if number < 6:
        assert not found.surely_beats_size
        assert json.loads(json.dumps(found.to_plain(), allow_nan=False))["lead"]["low"] is None


def test_what_was_trained_more_and_scores_too_well_is_seen() -> None:
    rng = np.random.default_rng(1)
    truth, steps = rng.random(60), rng.random(60)
    biased = judge_ranking(truth - steps, truth[:, None], rng.random(60), steps).training_bias
    fair = judge_ranking(truth + rng.random(60), truth[:, None], rng.random(60), steps).training_bias
    assert biased is not None
    assert fair is not None
    assert biased.high < -0.5
    assert fair.low < 0 < fair.high
    assert rank_residual(truth * 2, truth) == pytest.approx(np.zeros(60))


def test_it_goes_into_json_and_back() -> None:
    rng = np.random.default_rng(0)
    for scores, steps in ((rng.random(9), rng.random(9)), (np.zeros(9), None)):
        found = judge(scores, rng.random((9, 2)), rng.random(9), steps)
        text = json.dumps(found.to_plain(), allow_nan=False)
        again = Ranking.from_plain(json.loads(text))
        assert str(again) == str(found), "NaN is not equal to NaN"
        assert math.isnan(again.tau.value) == (steps is None)


def test_the_error_of_a_mean() -> None:
    assert error_of_mean([0.3]) == 0.0
    assert error_of_mean([0.1, 0.3, 0.5]) == pytest.approx(0.2 / 3**0.5)


def test_the_best_tenth_and_the_best() -> None:
    truth = np.arange(30.0)
    scores = np.array([0, 9, 1, 2, *range(10, 36)], dtype=float)
    assert top_precision(scores, truth) == pytest.approx(2 / 3), "0 and 2 of 0, 2, 3"
    assert top_regret(-scores, truth) == 29
    assert top_precision(scores[:4], truth[:4]) == 1, "one at least"


@given(orders, st.integers(1, 5))
def test_groups_are_equal_and_follow_each_other(values: np.ndarray, count: int) -> None:
    groups = equal_groups(values, count)
    sizes = np.bincount(groups)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(groups[np.argsort(values)]) >= 0).all()
