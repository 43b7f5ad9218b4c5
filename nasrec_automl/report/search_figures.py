"""Figures of the architecture search: its history, and score against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from nasrec_automl.budget import MACS
from nasrec_automl.report.content import ScoredArchitecture
from nasrec_automl.report.style import (
    BLUE,
    COSTS,
    FAINT,
    GREEN,
    LOG_LOSS_AXIS,
    PURPLE,
    VERMILLION,
    note,
    plain,
    styled,
    upper_limit,
)
from nasrec_automl.report.summary import best_scored, best_so_far, by_number, cost, error_text, pareto_front

_NOTHING = "The search has scored no architecture."
_HAND_SYMBOLS = ("diamond", "square", "cross", "x", "star", "pentagon")
_HOVER = (
    "<b>%{customdata[0]}</b><br>trial %{customdata[1]}"
    "<br>log loss %{customdata[2]:.5f}%{customdata[3]}"
    "<br>%{customdata[4]:,} multiply-adds<br>%{customdata[5]:,} parameters%{customdata[6]}<extra></extra>"
)

_Place = Callable[[ScoredArchitecture], float]


def search_history(search: Sequence[ScoredArchitecture], winner_name: str) -> go.Figure:
    """Score of each architecture in the order of the search, with the best so far."""
    scored, best = by_number(search), best_scored(search)
    if best is None:
        return note(_NOTHING)
    figure = go.Figure()
    if best.standard_error is not None:
        figure.add_hrect(
            y0=best.log_loss,
            y1=best.log_loss + best.standard_error,
            fillcolor=GREEN,
            opacity=0.12,
            line_width=0,
            layer="below",
            name="one standard error from the best",
            showlegend=True,
        )
    _add_points(figure, scored, lambda each: each.number, winner_name)
    figure.add_scatter(
        x=[each.number for each in scored],
        y=best_so_far([each.log_loss for each in scored]),
        name="best so far",
        mode="lines",
        line={"color": GREEN, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    figure.update_xaxes(
        title_text="trial of the search study", dtick=1 if scored[-1].number < 12 else None
    ).update_yaxes(title_text=LOG_LOSS_AXIS)
    return styled(figure, height=440)


def cost_figures(
    search: Sequence[ScoredArchitecture], winner_name: str, costs: Sequence[str] = ()
) -> dict[str, go.Figure]:
    """Score against multiply-adds and against each cost that the search minimised, by the cost's name.

    Where it minimised several costs, the front of all is marked.
    """
    marked = pareto_front(search, costs) if len(costs) > 1 else []
    return {name: score_against(search, winner_name, name, marked=marked) for name in dict.fromkeys((MACS, *costs))}


def score_against(
    search: Sequence[ScoredArchitecture],
    winner_name: str,
    name: str = "macs",
    *,
    marked: Sequence[ScoredArchitecture] = (),
) -> go.Figure:
    """Score against a cost on a logarithmic axis, with the Pareto front of the two.

    Args:
        search: scored architectures; those of which the cost is not known are left out.
        winner_name: of the winner.
        name: of the cost: `macs`, `parameters` or `latency_ms`.
        marked: architectures to mark: the front of all objectives, where those are more than these two.
    """
    scored = [each for each in by_number(search) if cost(each, name) is not None]
    if not scored:
        return note(_NOTHING)

    def place(each: ScoredArchitecture) -> float:
        return cost(each, name) or 0.0

    figure = go.Figure()
    limit = _add_points(figure, scored, place, winner_name)
    if marked:
        ring = {"color": GREEN, "symbol": "circle-open", "size": 10, "line": {"width": 1.5}}
        _add(figure, marked, place, "on the front of all objectives", ring, limit=limit)
    front = pareto_front(scored, [name])[::-1]  # the cheapest first, as the steps of the line have it
    figure.add_scatter(
        x=[place(each) for each in front],
        y=[min(each.log_loss, limit) for each in front],
        name="Pareto front",
        mode="lines",
        line={"color": GREEN, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text=COSTS[name], type="log", dtick="D2", tickformat="~s")
    figure.update_yaxes(title_text=LOG_LOSS_AXIS)
    return styled(figure, height=440)


def _add_points(figure: go.Figure, scored: Sequence[ScoredArchitecture], place: _Place, winner_name: str) -> float:
    """Draw every architecture once; far outliers at the upper edge, which is returned, with their score on hover."""
    hands = [each for each in scored if each.hand]
    limit = max(upper_limit([each.log_loss for each in scored]), *(each.log_loss for each in hands), 0.0)
    searched = [each for each in scored if not each.hand]
    inside = [each for each in searched if each.log_loss <= limit]
    outside = [each for each in searched if each.log_loss > limit]
    _add(figure, inside, place, "searched", {"color": BLUE, "opacity": 0.5, "size": 6})
    edge = {"color": FAINT, "symbol": "triangle-up", "size": 8}
    _add(figure, outside, place, "higher than drawn", edge, limit=limit)
    for index, hand in enumerate(hands):
        marker = {"color": VERMILLION, "symbol": _HAND_SYMBOLS[index % len(_HAND_SYMBOLS)], "size": 10}
        _add(figure, [hand], place, plain(hand.name), marker)
    winner = [each for each in scored if winner_name in (each.key, each.hand)]
    ring = {"color": PURPLE, "symbol": "circle-open", "size": 16, "line": {"width": 2.5}}
    _add(figure, winner[:1], place, "winner", ring, limit=limit)
    return limit


def _add(
    figure: go.Figure,
    scored: Sequence[ScoredArchitecture],
    place: _Place,
    name: str,
    marker: dict[str, object],
    *,
    limit: float = math.inf,
) -> None:
    if not scored:
        return
    figure.add_scatter(
        x=[place(each) for each in scored],
        y=[min(each.log_loss, limit) for each in scored],
        name=name,
        mode="markers",
        marker=marker,
        customdata=[
            [plain(e.name), e.number, e.log_loss, _quality(e), e.macs, e.parameters, _further(e)] for e in scored
        ],
        hovertemplate=_HOVER,
    )


def _quality(scored: ScoredArchitecture) -> str:
    auc = "" if scored.auc is None else f"<br>AUC {scored.auc:.4f}"
    return error_text(scored) + auc


def _further(scored: ScoredArchitecture) -> str:
    """Lines of what is known of some architectures alone."""
    latency = "" if scored.latency_ms is None else f"<br>{scored.latency_ms:.3g} ms"
    if scored.rows is None:
        return latency
    return f"{latency}<br>{'estimated from' if scored.stopped else 'scored on'} {scored.rows:,} rows"
