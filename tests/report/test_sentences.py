from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl import load_architecture
from nasrec_automl.data.parts import Part
from nasrec_automl.ranking import Ranking, judge_ranking
from nasrec_automl.report import CurvePoint, ResultRow
from nasrec_automl.report.sentences import headline, results_caption, search_caption, trust, wiring_caption
from nasrec_automl.verdict import Verdict


def of(ranking: Ranking | None, *, left_out: int = 0, ended: int = 8) -> Verdict:
    """The verdict of a check with this ranking."""
    losses = [None] * left_out + [0.5] * ended
    return Verdict(architectures=[{}] * len(losses), log_losses=losses, ranking=ranking)


def test_headline_compares_with_the_baseline_on_test(full_content):
    content = full_content(winner_name="the one")
    assert headline(content) == (
        "The architecture the one was chosen and reaches a test AUC of 0.7853, 0.0202 above the best "
        "baseline, logistic regression (0.7651); the standard error of this difference is 0.0024."
    )
    *others, baseline = content.results
    alone = replace(content, results=[*others, replace(baseline, test_less_winner_error={"auc": None})])
    assert headline(alone).endswith("logistic regression (0.7651).")


def test_headline_says_when_the_baseline_is_better(full_content):
    rows = [
        ResultRow(name="w", kind="search", wins=True, log_loss=0.5, auc=0.7, test_auc=0.7),
        ResultRow(name="logistic regression", kind="baseline", log_loss=0.5, auc=0.7, test_auc=0.75),
    ]
    assert "0.0500 below the best baseline" in headline(full_content(results=rows))
    assert "no baseline" in headline(full_content(results=rows[:1]))
    assert "not been measured on test" in headline(full_content(results=[replace(rows[0], test_auc=None)]))


@pytest.mark.parametrize(
    ("log_loss", "said"),
    [
        (0.5312, "On test a is better than the winner: its log loss is 0.0100 nats lower, 5.0 standard errors of the"),
        (0.5373, "On test the winner is level with a: their log losses differ by 0.0039 nats, and the standard error"),
        (0.5451, "On test the winner is level with a: their log losses differ by 0.0039 nats, and the standard error"),
        (0.5453, None),
    ],
)
def test_trust_says_which_baselines_the_winner_is_not_ahead_of(full_content, log_loss, said):
    content = full_content()
    *others, _ = content.results
    errors = {"log_loss": 0.002, "auc": 0.002}
    baseline = ResultRow(
        name="a",
        kind="baseline",
        log_loss=0.5,
        auc=0.7,
        test_log_loss=log_loss,
        test_auc=0.7,
        test_less_winner_error=errors,
    )
    found = [line for line in trust(replace(content, results=[*others, baseline])) if line.startswith("On test")]
    assert [line.startswith(said) for line in found] == ([True] if said else [])
    unknown = replace(baseline, test_less_winner_error={})
    assert not [line for line in trust(replace(content, results=[*others, unknown])) if line.startswith("On test")]


def test_trust_says_what_a_hand_design_that_wins_is_ahead_of(full_content):
    rows = [
        ResultRow(name="hand-mlp", kind="hand design", wins=True, log_loss=0.5, auc=0.7),
        ResultRow(name="hand-dlrm", kind="hand design", log_loss=0.51, auc=0.7),
        ResultRow(name="k1", kind="search", log_loss=0.52, auc=0.7),
        ResultRow(name="k2", kind="search", log_loss=0.53, auc=0.7),
    ]
    text = " ".join(trust(full_content(results=rows)))
    assert (
        "The winner is a hand design. On validation the winner's log loss is 0.0200 nats below that of the best "
        in text
    )
    assert "below that of the best candidate that is no hand design, k1." in text
    level = replace(rows[2], log_loss=0.50004)
    text = " ".join(trust(full_content(results=[rows[0], level])))
    assert "the winner and the best candidate that is no hand design, k1, have the same log loss to four" in text
    assert "The winner is a hand design." in trust(full_content(results=rows[:2]))


def test_candidates_that_the_search_did_not_score_are_none_of_the_search(unscored_content):
    text = " ".join(trust(unscored_content()))
    assert "0.0021 nats below that of the best hand design, mlp." in text
    assert "architecture of the search" not in text
    results = [replace(row, wins=False) for row in unscored_content().results]
    hand = replace(results[3], wins=True, log_loss=0.53)
    content = unscored_content(results=[hand, *results[1:3], *results[4:]], winner_name=hand.name)
    assert f"that of the best candidate that is no hand design, {results[1].name}." in " ".join(trust(content))


def test_the_search_figure_says_why_it_marks_no_winner(full_content, unscored_content):
    assert search_caption(unscored_content()).endswith("The winner is not among them: the search did not score it.")
    assert "not among them" not in search_caption(full_content())
    assert "not among them" not in search_caption(unscored_content(results=[]))


def test_the_search_figure_has_a_band_where_the_best_has_an_error(full_content):
    content = full_content()
    assert "in the shaded band" in search_caption(content)
    added = replace(content.search[0], log_loss=0.1, standard_error=None)
    assert "band" not in search_caption(replace(content, search=[added, *content.search]))


def test_an_order_is_compared_where_enough_architectures_have_a_score(full_content, unscored_content):
    def said(content):
        (found,) = [each for each in trust(content) if "trainings from scratch" in each]
        return found

    text = said(full_content())
    assert "gave a log loss to 6 architectures. Kendall's τ = " in text
    assert " over 6 of 6 architectures, of the search's scores and these log losses: 1 is the same order" in text
    content = full_content()
    part = replace(content, search=[each for each in content.search if each.hand != "mlp"])
    assert " over 5 of 6 architectures" in said(part)
    assert "Kendall" not in said(replace(part, search=[each for each in part.search if not each.hand]))
    assert "Kendall" not in said(unscored_content())


def test_trust_says_what_teachers_taught(full_content):
    def said(**values):
        return [each for each in trust(full_content(**values)) if "noisy" in each]

    assert said(teachers=["hand-mlp", "hand-dcn"], final_teachers=["hand-mlp", "hand-dcn"]) == [
        "Single labels are noisy: all candidates learned from labels mixed with predictions of hand-mlp and hand-dcn, "
        "which had learned from labels alone, and in its last trainings the winner learned validation rows from labels "
        "mixed with predictions of hand-mlp and hand-dcn, which had learned from labels alone, those of validation "
        "rows too."
    ]
    (found,) = said(teachers=["hand-mlp", "hand-dcn", "hand-dlrm"])
    assert "predictions of hand-mlp, hand-dcn and hand-dlrm, which" in found
    (found,) = said(teachers=["hand-mlp"])
    assert found.endswith("predictions of hand-mlp, which had learned from labels alone.")
    assert "the winner" not in found
    assert not said()


def test_headline_without_results(empty_content):
    assert headline(empty_content(winner_name="w")) == "The architecture w was chosen; it has not been measured yet."


def test_trust_names_rows_errors_and_ties(full_content):
    text = " ".join(trust(full_content()))
    assert "scored 300 architectures" in text
    assert "all on the same 4,000 rows. The standard error of a score is about 0.0031 nats." in text
    assert "20 architectures are within one standard error of the best (" in text
    assert "0.0021 nats below that of the best hand design, mlp." in text
    assert "24 trainings from scratch" in text
    assert "Scores share their rows" in text
    assert "three complete searches" in text


def test_trust_says_which_scores_are_not_the_supernets(full_content):
    search = [*full_content().search]
    assert "by hand" not in " ".join(trust(full_content()))
    search[:2] = [replace(each, standard_error=None, auc=None, log_loss=0.1) for each in search[:2]]
    text = " ".join(trust(full_content(search=search)))
    assert "The search scored 298 architectures" in text
    assert "2 architectures were scored by another evaluator or added to the study by hand: nobody knows on" in text
    assert f"2 architectures are as good as the best (0.1000, {search[0].name}), itself included." in text
    assert "Scores share their rows" not in text
    alone = " ".join(trust(full_content(search=search[:2])))
    assert "The search scored" not in alone
    assert "2 architectures were scored by another evaluator or added to the study by hand" in alone


def test_trust_says_what_is_missing(empty_content):
    text = " ".join(trust(empty_content()))
    assert "scored no architecture" in text
    assert "No candidate has been trained from scratch yet." in text
    assert "Test was read once" not in text


def test_the_caption_counts_what_the_picture_leaves_out(empty_content):
    assert "6 operators and 3 mergers of the architecture are unused" in wiring_caption(
        empty_content(winner=load_architecture("criteo-full"))
    )


def test_trust_says_how_far_the_scores_themselves_go(full_content):
    order = np.arange(8.0)
    good = judge_ranking(order, np.stack([order, order], axis=1), np.ones(8) + order % 3, resamples=50)
    text = " ".join(trust(full_content(verdict=of(good, left_out=1))))
    assert "8 architectures of all sizes were trained from scratch, each with 2 seeds (1 more is left out" in text
    assert "and 1.00 over the pairs within 2 groups by size." in text
    assert "is 1.00 (95 % interval 1.00 to 1.00)" in text
    assert good.lead.low > 0
    assert "The search's scores order architectures better than their size does, and the run relied on them." in text
    bad = judge_ranking(-order, order[:, None], order + 1, resamples=50)
    text = " ".join(trust(full_content(verdict=of(bad))))
    assert "each with 1 seed. Kendall" in text
    assert "left out" not in text
    assert "That of their size, the number of parameters, is 1.00." in text
    assert "did not rely on them" in text
    assert "in place of the best scores it took the architectures with the best predictions (of a regression" in text
    assert "go through successive halving" in text
    text = " ".join(trust(full_content(verdict=of(bad), prunes=False)))
    assert "halving" not in text
    assert "are trained to their end" in text
    for scores, losses in ((np.zeros(8), order), (order, np.zeros(8))):
        same = judge_ranking(scores, losses[:, None], order + 1, resamples=50)
        text = " ".join(trust(full_content(verdict=of(same))))
        assert "Their scores or their log losses are all the same" in text
        assert "nan" not in text


def test_trust_says_where_the_supernet_has_learned_little(full_content):
    """The check's trainings take 0.1 off the entropy of their rows; the supernet, at its best, a part of that."""
    truth = np.arange(8.0)
    bad = of(judge_ranking(-truth, truth[:, None], truth + 1, resamples=50))
    good = of(judge_ranking(truth, np.stack([truth, truth], axis=1), np.ones(8) + truth % 3, resamples=50))

    def said(best, verdict=bad):
        curve = [CurvePoint(step=1, log_loss=best, auc=0.6), CurvePoint(step=2, log_loss=0.8, auc=0.5)]
        entropies = {Part.SEARCH: 0.65, Part.HPO: 0.6}
        return " ".join(trust(full_content(verdict=verdict, supernet=curve, entropies=entropies)))

    assert "The supernet has learned 26% of what these trainings have" in said(0.624)
    assert "supernet.epochs" in said(0.601)
    assert "supernet.epochs" not in said(0.599)
    assert "learned 0% of" in said(0.7)
    assert "supernet.epochs" not in said(0.624, good), "whatever it has learned, it ranks"


def test_of_several_objectives_trust_names_the_front(full_content):
    truth = np.arange(8.0)
    bad = judge_ranking(-truth, truth[:, None], truth + 1, resamples=50)
    text = " ".join(trust(full_content(verdict=of(bad), objectives=("log_loss", "macs"))))
    assert (
        "in place of the Pareto front of the scores it took the Pareto front of the predictions (of a regression"
        in text
    )
    assert "best scores" not in text


def test_trust_says_what_few_trainings_cannot_show(full_content):
    rng = np.random.default_rng(2)
    truth = np.arange(6.0)
    chance = judge_ranking(truth + rng.normal(0, 3, 6), truth[:, None], rng.permutation(6) + 1.0, resamples=200)
    assert chance.lead.low < 0 < chance.lead.value
    text = " ".join(trust(full_content(verdict=of(chance))))
    assert "seem to order architectures better than their size does" in text
    assert "may be chance" in text
    assert "took the best scores in turns with the architectures with the best predictions (of a" in text
    assert "groups by size" not in text, "one group is all of them"
    text = " ".join(trust(full_content(verdict=of(None, left_out=6, ended=2))))
    assert "of 8 architectures that were trained from scratch for it 2 ended well with every seed, too few" in text
    text = " ".join(trust(full_content(verdict=of(None))))
    assert "for it 8 ended well with every seed, but too few of these have a finite score. The search went on" in text
    alike = judge_ranking(truth, truth[:, None], np.ones(6), resamples=50)
    assert alike.beats_size, "where sizes are all equal, any order is more than they say"
    assert "nan" not in " ".join(trust(full_content(verdict=of(alike))))


def test_trust_says_what_was_stopped_early(full_content):
    content = full_content(architectures=4, score_rows=1000)
    rows = (1000, 1000, 250, 250)
    search = [replace(each, rows=count, stopped=count < 1000) for each, count in zip(content.search, rows, strict=True)]
    text = " ".join(trust(replace(content, search=search)))
    assert "2 scores are of fewer rows and estimated" in text
    assert "In all 62.5% of the rows were read" in text
    assert "estimated" not in " ".join(trust(content))


def test_it_says_how_sure_the_choice_is(full_content):
    def said(*rivals: tuple[str, float, float]) -> str:
        rows = [ResultRow(name="w", kind="search", wins=True, log_loss=0.5, auc=0.7, test_auc=0.7)]
        rows += [
            ResultRow(name=name, kind="search", log_loss=0.5 + behind, auc=0.7, less_winner_error=error)
            for name, behind, error in rivals
        ]
        return " ".join(trust(full_content(results=rows)))

    assert "ahead of all 2 other candidates trained to the end by two" in said(("a", 0.02, 0.009), ("b", 0.03, 0.01))
    assert "ahead of the only other candidate trained to the end by two" in said(("a", 0.02, 0.009))
    assert "does not tell the winner from 1 of the 2 other candidates trained to the end (a):" in said(
        ("a", 0.01, 0.009), ("b", 0.03, 0.01)
    )
    assert "does not tell the winner from the only other candidate trained to the end:" in said(("a", 0.0, 0.0))
    close = [(name, 0.001, 0.01) for name in "abcde"]
    assert "from 5 of the 6 other candidates trained to the end (a, b, c and 2 more):" in said(
        *close, ("f", 0.03, 0.01)
    )
    assert "does not tell the winner from all 5 other candidates trained to the end:" in said(*close)
    assert "other candidate" not in said()


def test_the_result_table_says_what_its_numbers_are_of(full_content):
    caption = results_caption(full_content(baseline_rows=1_000_000))
    assert caption.startswith(
        "Validation: trained on train and head rows alone, measured on choice rows, which chose the winner. "
        "Test: trained once more, on validation rows too: "
    )
    assert (
        "the winner and gradient boosting without the hpo part, which says when a training ends, and logistic "
        "regression with it"
    ) in caption
    assert caption.endswith("The baselines were fitted to at most 1,000,000 of these rows, drawn at random.")
    assert "fitted" not in results_caption(full_content())
    assert "measured on search and choice rows, which chose" in results_caption(
        full_content(chosen_on=("search", "choice"))
    )
    rows = [ResultRow(name="w", kind="search", wins=True, log_loss=0.5, auc=0.7)]
    assert "Test" not in results_caption(full_content(results=rows))


def test_trust_says_how_often_test_was_read(full_content):
    assert "Test was read once, after the choice." in " ".join(trust(full_content()))
    text = " ".join(trust(full_content(test_readings=2)))
    assert "Test was read 2 times, because the run got more to do after a result, or was killed" in text


def test_a_check_is_no_training_of_a_candidate(full_content):
    verdict = of(judge_ranking(np.arange(8.0), np.arange(8.0)[:, None], np.arange(8.0), seed=0))
    text = " ".join(trust(full_content(retrain=[], verdict=verdict)))
    assert "No candidate has been trained from scratch yet." in text
