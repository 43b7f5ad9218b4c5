import math
from dataclasses import replace

import numpy as np

from nasrec_automl.ranking import Estimate, Ranking, judge_ranking
from nasrec_automl.report.content import JudgedArchitecture, RankContent
from nasrec_automl.report.rank_page import ranking_lines, ranking_sentence, render_rank, score_against_truth


def content(seeds: int = 2) -> RankContent:
    rng = np.random.default_rng(0)
    truth = rng.random(12)
    scores, losses = truth + rng.normal(0, 0.1, 12), truth[:, None] + rng.normal(0, 0.1, (12, seeds))
    sizes = rng.integers(1000, 100_000, 12)
    return RankContent(
        title="a <run>",
        dataset="clicks & co",
        ranking=judge_ranking(scores, losses, sizes, rng.random(12), resamples=50),
        architectures=[
            JudgedArchitecture(
                key=f"key{i}",
                params={},
                score=scores[i],
                standard_error=0.01,
                losses=tuple(losses[i]),
                parameters=int(sizes[i]),
                macs=10,
                trained_steps=5.0,
            )
            for i in range(12)
        ],
        score_rows=4000,
        truth_rows=3000,
    )


def share_of_ceiling(ranking: Ranking) -> str:
    return next(value for name, value, _, _ in ranking_lines(ranking) if name == "share of the ceiling")


def test_every_statistic_has_a_line() -> None:
    full = [line[0] for line in ranking_lines(content().ranking)]
    assert len(full) == 10
    one_seed = [line[0] for line in ranking_lines(content(1).ranking)]
    assert {*full} - {*one_seed} == {"ceiling", "share of the ceiling"}
    ranking = content().ranking
    assert ranking_lines(ranking)[0][1:3] == (
        f"{ranking.tau.value:.2f}",
        f"{ranking.tau.low:.2f} to {ranking.tau.high:.2f}",
    )
    one_group = [line[0] for line in ranking_lines(replace(ranking, strata=1))]
    assert {*full} - {*one_group} == {"tau within sizes"}
    unknown = replace(ranking, tau=Estimate(math.nan, math.nan, math.nan))
    assert ranking_lines(unknown)[0][1:3] == ("n/a", "")
    assert share_of_ceiling(unknown) == "n/a"
    assert share_of_ceiling(replace(ranking, tau=Estimate(0.3, 0, 0.6), ceiling=Estimate(0.5, 0.1, 0.9))) == "60%"
    by_chance = replace(ranking, tau=Estimate(0.3, 0, 0.6), ceiling=Estimate(0.2, -0.1, 0.5))
    assert share_of_ceiling(by_chance) == "n/a", "a ceiling that may be chance limits nothing"
    few = replace(ranking, tau=Estimate(-1.0, math.nan, math.nan))
    assert ranking_lines(few)[0][1:3] == ("-1.00", "")


def test_the_sentence_says_whether_scores_beat_size() -> None:
    ranking = content().ranking
    assert ranking_sentence(replace(ranking, lead=Estimate(0.4, 0.1, 0.6))).endswith("of parameters does.")
    assert ranking_sentence(replace(ranking, lead=Estimate(0.4, -0.1, 0.6))).endswith("but that may be chance.")
    assert "do not trust them" in ranking_sentence(replace(ranking, lead=Estimate(0.0, -0.1, 0.1)))
    assert "with 1 seed." in ranking_sentence(content(1).ranking)
    assert "left out" not in ranking_sentence(ranking)
    unlike = "agree on the order no further than chance might"
    assert unlike in ranking_sentence(replace(ranking, ceiling=Estimate(0.3, -0.1, 0.6)))
    for ceiling in (Estimate(0.3, 0.1, 0.6), Estimate(-1.0, math.nan, math.nan), None):
        assert unlike not in ranking_sentence(replace(ranking, ceiling=ceiling))
    left_out = "2 more are left out: a training diverged or failed, or the score is not finite."
    assert left_out in ranking_sentence(ranking, 2)


def test_the_figure_has_a_point_an_architecture_with_its_mean() -> None:
    shown = content()
    (points,) = score_against_truth(shown).data
    assert list(points.x) == [one.score for one in shown.architectures]
    assert np.allclose(points.y, [np.mean(one.losses) for one in shown.architectures])
    assert (np.array(points.error_y.array) > 0).all()
    assert set(score_against_truth(content(1)).data[0].error_y.array) == {0.0}
    assert {row[1] for row in points.customdata} == {" ± 0.01000"}
    unknown = [replace(one, standard_error=None) for one in shown.architectures]
    assert {row[1] for row in score_against_truth(replace(shown, architectures=unknown)).data[0].customdata} == {""}


def test_the_page_escapes_and_loads_nothing() -> None:
    page = render_rank(content())
    assert "a &lt;run&gt;" in page
    assert "clicks &amp; co" in page
    assert "4,000 rows" in page
    assert "src=" not in page.replace('"src=', "").split("<body>")[1]
