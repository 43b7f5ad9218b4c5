"""The page on a ranking: its statistics, and scores against trainings from scratch."""

from __future__ import annotations

import math
import statistics
from html import escape

import plotly.graph_objects as go

from nasrec_automl.ranking import Estimate, Ranking, error_of_mean
from nasrec_automl.report.content import JudgedArchitecture, RankContent
from nasrec_automl.report.page import figure_html, page, section
from nasrec_automl.report.sentences import count
from nasrec_automl.report.style import styled
from nasrec_automl.report.summary import error_text
from nasrec_automl.report.tables import head_cell, left_cell, table

Line = tuple[str, str, str, str]
"""Name, value, 95 % interval and meaning of a statistic."""


def ranking_lines(ranking: Ranking) -> list[Line]:
    """Every statistic in words, what is measured first and then what it is to be compared with."""
    sign = "larger" if ranking.larger_is_better else "smaller"
    share = ranking.share_of_ceiling
    lines = [
        ("Kendall's tau", *_shown(ranking.tau), "scores against log losses from scratch: 1 for the same order"),
        ("Spearman's rho", *_shown(ranking.spearman), "the same of ranks"),
        ("precision of the top decile", *_shown(ranking.top_decile), "share of the tenth scored best that is the best"),
        ("regret of the top 1", *_shown(ranking.regret, 4), "nats that the choice of the best score costs"),
    ]
    if ranking.ceiling is not None:
        lines.append(("ceiling", *_shown(ranking.ceiling), "tau between halves of the seeds"))
        shown = "n/a" if share is None else f"{share:.0%}"
        lines.append(("share of the ceiling", shown, "", "Kendall's tau as a share of it, where it is above chance"))
    lines += [
        ("tau of size", *_shown(ranking.size_tau), f"of the number of parameters alone, as if {sign} were better"),
        ("lead over size", *_shown(ranking.lead), "Kendall's tau less that of size"),
    ]
    if ranking.strata > 1:
        meaning = f"of pairs in the same of {ranking.strata} groups by parameters"
        lines.append(("tau within sizes", *_shown(ranking.strata_tau), meaning))
    if ranking.training_bias is not None:
        meaning = "rho of residual and training steps; below 0, what was trained more scores too well"
        lines.append(("training bias", *_shown(ranking.training_bias), meaning))
    return lines


def ranking_sentence(ranking: Ranking, left_out: int = 0) -> str:
    """What was compared, and what follows."""
    text = (
        f"{ranking.architectures:,} architectures of all sizes, each trained from scratch with "
        f"{count(ranking.seeds, 'seed')}. "
    )
    if left_out:
        more = f"{left_out:,} more {'is' if left_out == 1 else 'are'} left out"
        text += f"{more}: a training diverged or failed, or the score is not finite. "
    if ranking.surely_beats_size:
        text += "The scores rank them better than their number of parameters does."
    elif ranking.beats_size:
        text += "The scores rank them better than their number of parameters does, but that may be chance."
    else:
        text += "The scores do not rank them better than their number of parameters does: do not trust them."
    if ranking.ceiling is not None and ranking.ceiling.has_interval and not ranking.has_ceiling:
        text += (
            " The seeds agree on the order no further than chance might (the ceiling): either the architectures hardly "
            "differ, so that any is a good choice, or it takes more seeds to tell them apart."
        )
    return text


def score_against_truth(content: RankContent) -> go.Figure:
    """Score of each architecture against its mean log loss from scratch, coloured by size."""
    points = content.architectures
    means = [statistics.fmean(point.losses) for point in points]
    errors = [error_of_mean(point.losses) for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=[point.score for point in points],
        y=means,
        error_y={"type": "data", "array": errors, "thickness": 1, "width": 0},
        mode="markers",
        marker={
            "size": 9,
            "color": [math.log10(point.parameters) for point in points],
            "colorscale": "Viridis",
            "colorbar": {"title": {"text": "log₁₀ of<br>parameters"}, "thickness": 14},
        },
        customdata=[(p.key, error_text(p), p.parameters, p.macs, _steps(p)) for p in points],
        hovertemplate="<b>%{customdata[0]}</b><br>score %{x:.5f}%{customdata[1]}<br>from scratch %{y:.5f}"
        "<br>%{customdata[2]:,} parameters<br>%{customdata[3]:,} multiply-adds%{customdata[4]}<extra></extra>",
    )
    figure.update_xaxes(title_text="score by the supernet's weights (nats)")
    figure.update_yaxes(title_text="log loss from scratch, mean of the seeds (nats)")
    return styled(figure, height=520)


def _steps(point: JudgedArchitecture) -> str:
    return "" if point.trained_steps is None else f"<br>weights trained in {point.trained_steps:,.0f} steps"


def render_rank(content: RankContent) -> str:
    """The page's HTML. Equal contents give equal text."""
    lines = [
        [head_cell(name), escape(value), escape(interval), left_cell(meaning)]
        for name, value, interval, meaning in ranking_lines(content.ranking)
    ]
    caption = (
        f"Scores on {content.score_rows:,} rows, log losses from scratch on {content.truth_rows:,} others, which no "
        "gradient has seen. Vertical lines are one standard error over the seeds."
    )
    return page(
        f"{content.title}: rank",
        [
            f"<h1>{escape(content.title)}: how well scores rank</h1>",
            f'<p class="subtitle">{escape(content.dataset)}</p>',
            f'<p class="lead">{escape(ranking_sentence(content.ranking, content.left_out))}</p>',
            section("Statistics", table(["statistic", "value", "95 % interval", "meaning"], lines)),
            section("Scores and trainings", figure_html("score-against-truth", score_against_truth(content), caption)),
        ],
    )


def _shown(one: Estimate, digits: int = 2) -> tuple[str, str]:
    if math.isnan(one.value):
        return "n/a", ""
    return f"{one.value:.{digits}f}", f"{one.low:.{digits}f} to {one.high:.{digits}f}" if one.has_interval else ""
