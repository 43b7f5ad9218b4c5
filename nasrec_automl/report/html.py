"""The report of a run as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import plotly.graph_objects as go

from nasrec_automl.budget import MACS
from nasrec_automl.report.agreement import score_against_retrained
from nasrec_automl.report.content import ReportContent
from nasrec_automl.report.figures import calibration, supernet_curves
from nasrec_automl.report.frequencies import frequencies
from nasrec_automl.report.page import bullets, figure_html, page, section
from nasrec_automl.report.retrain_figures import retrain_curves, settings_figure
from nasrec_automl.report.search_figures import cost_figures, search_history
from nasrec_automl.report.sentences import headline, results_caption, search_caption, trust, wiring_caption
from nasrec_automl.report.style import COSTS
from nasrec_automl.report.summary import pareto_front, winner_row
from nasrec_automl.report.tables import fact_table, front_table, key_numbers, result_table
from nasrec_automl.report.wiring import wiring_svg


def render_report(content: ReportContent) -> str:
    """The report's HTML. Equal contents give equal text."""
    space = content.winner.space.name
    costs = cost_figures(content.search, content.winner_name, content.objectives[1:])
    body = [
        f"<h1>{escape(content.title)}</h1>",
        f'<p class="subtitle">{escape(content.dataset)} · search space {escape(space)}</p>',
        f'<p class="lead">{escape(headline(content))}</p>',
        key_numbers(winner_row(content.results)),
        section("Results", _results(content)),
        section("How far to trust this", bullets(trust(content))),
        section("The winning architecture", _wiring(content)),
        section("Architecture search", _search(content, costs[MACS])),
        *([section("Pareto front", _front(content, costs))] if len(content.objectives) > 1 else []),
        section("Training from scratch", _retrain(content)),
        section("Calibration", _calibration(content)),
        section("The supernet", _supernet(content)),
        section("What was run", fact_table(content.facts)),
    ]
    if content.how_to_go_on:
        body.append(section("How to go on", f"<pre>{escape(chr(10).join(content.how_to_go_on))}</pre>"))
    return page(content.title, body)


def _results(content: ReportContent) -> str:
    table = result_table(content.results)
    return f"{table}<p class='note'>{escape(results_caption(content))}</p>" if content.results else table


def _wiring(content: ReportContent) -> str:
    caption = escape(wiring_caption(content))
    return f'<figure class="wiring">{wiring_svg(content.winner)}<figcaption>{caption}</figcaption></figure>'


def _search(content: ReportContent, macs: go.Figure) -> str:
    history = figure_html(
        "search-history",
        search_history(content.search, content.winner_name),
        search_caption(content),
    )
    cost = figure_html(
        "score-against-macs",
        macs,
        "The same scores against what an architecture costs; no architecture lies below and left of the Pareto front.",
    )
    made_of = figure_html(
        "frequencies",
        frequencies(content.search),
        "What the blocks of the best tenth are made of, beside those of all others; what nothing reads does not count.",
    )
    return history + cost + made_of


def _front(content: ReportContent, drawn: Mapping[str, go.Figure]) -> str:
    costs = content.objectives[1:]
    figures = [
        figure_html(
            f"front-{name}",
            figure,
            f"Scores against {COSTS[name]}: architectures on the line are the best for what they cost.",
        )
        for name, figure in drawn.items()
        if name != MACS  # which is the figure above
    ]
    return front_table(pareto_front(content.search, costs), costs) + "".join(figures)


def _retrain(content: ReportContent) -> str:
    settings = figure_html(
        "retrain-settings",
        settings_figure(content.retrain),
        "Log loss of each training from scratch against its settings, the best six architectures in colours of their "
        "own and all others in grey; hollow marks did not complete, and "
        "triangles lie higher than drawn.",
    )
    curves = figure_html(
        "retrain-curves",
        retrain_curves(content.retrain),
        "Validation log loss while training from scratch, in the same colours; the best training is thick, dotted ones "
        "did not complete.",
    )
    agreement = figure_html(
        "score-against-retrained",
        score_against_retrained(content.search, content.retrain),
        "What the search said against what training from scratch gave. Kendall's τ is 1 where both put architectures "
        "in the same order; it is left out where they are few, or all hand designs.",
    )
    return settings + curves + agreement


def _calibration(content: ReportContent) -> str:
    return figure_html(
        "calibration",
        calibration({"winner, ± 2 standard errors": content.calibration}),
        "How often test rows with a given prediction were clicked: on the diagonal, predictions mean what they say.",
    )


def _supernet(content: ReportContent) -> str:
    return figure_html(
        "supernet-curves",
        supernet_curves(content.supernet),
        "The supernet while it was trained. Training batches are measured by the labels that they teach, validation by "
        "true ones. The search scores architectures with its last weights, or with those of the lowest log loss where "
        "training may end early.",
    )
