import itertools
import math
from dataclasses import replace

import optuna
import pytest

from nasrec_automl.data.parts import Part
from nasrec_automl.report import CurvePoint, ResultRow, RetrainTrial, ScoredArchitecture
from nasrec_automl.report.summary import (
    best_baseline,
    best_first,
    best_scored,
    best_so_far,
    by_number,
    by_score,
    compared,
    cost_text,
    in_both,
    known_costs,
    learned_share,
    pareto_front,
    retrained_best,
    winner_row,
    within_one_error,
)
from nasrec_automl.search import incumbents
from nasrec_automl.verdict import Verdict
from tests.report.conftest import HYPER


def scored(number, log_loss, macs=10, error=0.01):
    return ScoredArchitecture(
        number=number,
        key=f"k{number}",
        log_loss=log_loss,
        standard_error=error,
        auc=0.7,
        macs=macs,
        parameters=1,
    )


def trial(architecture, log_loss, state="complete"):
    return RetrainTrial(
        number=0,
        architecture=architecture,
        log_loss=log_loss,
        state=state,
        hyper=HYPER,
    )


def test_the_order_is_that_of_the_trials_and_leaves_out_what_has_no_score():
    search = [scored(2, 0.5), scored(0, math.nan), scored(1, 0.6)]
    assert [each.number for each in by_number(search)] == [1, 2]


def test_best_so_far_never_rises_and_ends_at_the_best(full_content):
    losses = [each.log_loss for each in full_content().search]
    best = best_so_far(losses)
    assert len(best) == len(losses)
    assert all(later <= earlier for earlier, later in itertools.pairwise(best))
    assert all(best[i] == min(losses[: i + 1]) for i in range(len(losses)))


def test_pareto_front_by_hand():
    search = [
        scored(0, 0.50, 30),
        scored(1, 0.60, 10),
        scored(2, 0.55, 20),
        scored(3, 0.56, 25),
        scored(4, 0.60, 15),
    ]
    assert [each.number for each in pareto_front(search, ["macs"])] == [0, 2, 1]


def test_pareto_front_keeps_the_better_of_equal_costs_and_the_first_of_equals():
    assert [each.number for each in pareto_front([scored(0, 0.6, 10), scored(1, 0.5, 10)], ["macs"])] == [1]
    search = [scored(2, 0.5, 10), scored(1, 0.5, 10), scored(3, 0.5, 9), scored(0, 0.4, 20), scored(4, 0.4, 20)]
    assert [each.number for each in pareto_front(search, ["macs"])] == [0, 3]
    assert [each.number for each in pareto_front(search[:2], ["macs", "parameters"])] == [1]


def test_pareto_front_is_exactly_what_nothing_dominates(full_content):
    search = full_content().search

    def dominated(one):
        return any(
            other.log_loss <= one.log_loss
            and other.macs <= one.macs
            and (other.log_loss, other.macs) != (one.log_loss, one.macs)
            for other in search
        )

    front = pareto_front(search, ["macs"])
    assert {each.number for each in front} == {each.number for each in search if not dominated(each)}


def test_the_front_of_all_objectives(full_content):
    content = full_content()
    front = pareto_front(content.search, ["macs", "parameters"])

    def values(each):
        return each.log_loss, each.macs, each.parameters

    def dominated(one):
        return any(
            all(a <= b for a, b in zip(values(other), values(one), strict=True)) and values(other) != values(one)
            for other in content.search
        )

    assert front == sorted((each for each in content.search if not dominated(each)), key=lambda each: each.log_loss)
    assert {each.number for each in pareto_front(content.search, ["macs"])} <= {each.number for each in front}


def test_a_front_needs_costs_that_are_known(full_content):
    assert pareto_front(full_content().search, ["latency_ms"]) == []


def test_ties_are_counted_from_the_best_ones_error():
    search = [scored(0, 0.50, error=0.01), scored(1, 0.51, error=0.001), scored(2, 0.52, error=0.9)]
    assert [each.number for each in within_one_error(search)] == [0, 1]
    assert best_scored(search) is search[0]


def test_of_a_best_one_without_an_error_equals_alone_are_ties():
    search = [scored(0, 0.50, error=None), scored(1, 0.50), scored(2, 0.501, error=0.9)]
    assert [each.number for each in within_one_error(search)] == [0, 1]


def test_an_estimate_is_not_level_with_the_best_score():
    search = [scored(0, 0.50, error=0.01), replace(scored(1, 0.503), stopped=True), scored(2, 0.505)]
    assert [each.number for each in within_one_error(search)] == [0, 2]
    assert best_scored(search[1:2]) is search[1]
    assert within_one_error(search[1:2]) == search[1:2]
    assert within_one_error([replace(search[0], stopped=True), search[2]]) == [
        replace(search[0], stopped=True),
        search[2],
    ]


def test_nothing_gives_nothing():
    assert pareto_front([], ["macs"]) == within_one_error([]) == by_number([]) == []
    assert best_scored([]) is winner_row([]) is best_baseline([]) is None


def test_the_best_baseline_has_a_test_auc():
    rows = [
        ResultRow(name="a", kind="baseline", log_loss=0.1, auc=0.9),
        ResultRow(name="b", kind="baseline", log_loss=0.5, auc=0.6, test_auc=0.60),
        ResultRow(name="c", kind="baseline", log_loss=0.5, auc=0.6, test_auc=0.65),
        ResultRow(name="d", kind="search", wins=True, log_loss=0.5, auc=0.6, test_auc=0.7),
    ]
    assert best_baseline(rows).name == "c"
    assert winner_row(rows).name == "d"


def test_only_completed_trainings_count_for_an_architecture():
    trials = [
        trial("a", 0.5),
        trial("a", 0.4),
        trial("a", 0.1, "pruned"),
        trial("b", None),
        trial("b", 0.2, "failed"),
    ]
    assert retrained_best(trials) == {"a": 0.4}


def test_few_architectures_or_hand_designs_alone_are_not_compared():
    search = [scored(number, 0.5 + number / 10) for number in range(7)]
    retrain = [trial(f"k{number}", number / 10) for number in range(5)]
    assert compared(search, retrain) == search[:5]
    assert in_both(search, retrain[1:]) == search[1:5]
    assert compared(search, retrain[1:]) == []
    hands = [replace(each, hand=each.key) for each in search]
    assert compared([*hands[:4], search[4]], retrain) != []
    assert compared(hands, retrain) == []


def test_estimates_rank_by_their_value(full_content):
    first, second, third = full_content(architectures=3).search
    search = [replace(first, log_loss=0.55, stopped=True), replace(second, log_loss=0.6), replace(third, log_loss=0.5)]
    assert [each.number for each in by_score(search)] == [2, 0, 1]


def test_what_the_supernet_has_learned_is_a_share_of_what_trainings_have(empty_content):
    verdict = Verdict(architectures=[{}] * 4, log_losses=[0.5, None, 0.3, 0.4], ranking=None)
    curve = [CurvePoint(step=1, log_loss=0.55, auc=0.6), CurvePoint(step=2, log_loss=0.58, auc=0.6)]
    known = {"verdict": verdict, "supernet": curve, "entropies": {Part.SEARCH: 0.65, Part.HPO: 0.6}}
    assert learned_share(empty_content(**known)) == pytest.approx(0.5)
    for missing in ({"verdict": None}, {"supernet": ()}, {"entropies": {}}):
        assert learned_share(empty_content(**{**known, **missing})) is None
    nothing = {Part.SEARCH: 0.65, Part.HPO: 0.4039}
    assert learned_share(empty_content(**{**known, "entropies": nothing})) is None, "the trainings know nothing either"
    lost = Verdict(architectures=[{}], log_losses=[None], ranking=None)
    assert learned_share(empty_content(**{**known, "verdict": lost})) is None


def test_front_after_front_comes_first_as_the_search_hands_them_on():
    search = [
        scored(0, 0.5, macs=30),
        scored(1, 0.51, macs=40),
        scored(2, 0.6, macs=10),
        scored(3, math.nan),
        scored(4, 0.52, macs=50),
        scored(5, 0.7, macs=15),
    ]
    found = [each.number for each in best_first(search, ["macs"])]
    assert found == [0, 2, 1, 5, 4]
    trials = [
        optuna.trial.create_trial(values=[each.log_loss, each.macs]) for each in search if math.isfinite(each.log_loss)
    ]
    for trial, number in zip(trials, (0, 1, 2, 4, 5), strict=True):
        trial.number = number
    assert found == [trial.number for trial in incumbents.best_first(trials)]
    assert [each.number for each in best_first(search, [])] == [0, 1, 4, 2, 5]


def test_a_cost_is_shown_where_it_is_known_of_one():
    search = [scored(0, 0.5, macs=12_000), replace(scored(1, 0.5), latency_ms=1.23456)]
    assert known_costs(search) == ["macs", "parameters", "latency_ms"]
    assert known_costs(search[:1]) == ["macs", "parameters"]
    assert [cost_text(each, "latency_ms") for each in search] == ["", "1.23"]
    assert cost_text(search[0], "macs") == "12,000"
