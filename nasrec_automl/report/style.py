"""How every figure looks: colours that colour-blind readers can tell apart, one template, notes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
INK, GREY, FAINT, GRID, PAPER = "#1F2933", "#616E7C", "#9AA5B1", "#E4E7EB", "#FFFFFF"
DIM = "#6B7785"
"""The colour of text that is to stand back: FAINT is too faint to read."""

SEQUENCE = (BLUE, VERMILLION, GREEN, PURPLE, "#E69F00", "#56B4E9", "#7B8794")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

LOG_LOSS_AXIS = "log loss (nats)"
COSTS = {"macs": "multiply-adds per example", "parameters": "parameters", "latency_ms": "latency (ms)"}
"""Costs of an architecture, by the job's names."""

_AXIS = {
    "gridcolor": GRID,
    "linecolor": FAINT,
    "showline": True,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": FAINT,
    "automargin": True,
    "exponentformat": "SI",
    "title": {"font": {"size": 13, "color": GREY}, "standoff": 10},
}
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "colorway": list(SEQUENCE),
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 70, "r": 24, "t": 48, "b": 56},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": FAINT, "font": {"color": INK}},
        "hovermode": "closest",
    }
)


def styled(figure: go.Figure, *, height: int = 400) -> go.Figure:
    """Give a figure the common look."""
    return figure.update_layout(template=_TEMPLATE, height=height)


def titled(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure a title above and its legend below, for Optuna's dashboard: it shows no captions.

    The dashboard cuts a figure at 450 pixels.
    """
    return figure.update_layout(
        title={"text": plain(title), "font": {"size": 16}, "x": 0.02, "y": 0.98, "yref": "container", "yanchor": "top"},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": 11}},
        margin={"t": 52},
        height=440,
    )


def note(text: str) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = go.Figure()
    figure.add_annotation(
        text=plain(text), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"color": GREY}
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return styled(figure, height=110).update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0})


def plain(text: str) -> str:
    """Text as plotly shows it literally: plotly reads a subset of HTML."""
    return escape(text, quote=False)


def upper_limit(values: Sequence[float]) -> float:
    """The highest value to give room to: far outliers would press all others into a line.

    Outliers lie above the upper quartile plus three times the distance between the quartiles (Tukey's
    outer fence).
    """
    ordered = sorted(values)
    if len(ordered) < 8:
        return ordered[-1]
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    fence = high + 3 * (high - low)
    return max(value for value in ordered if value <= fence)
