"""Figures of the retrain study: settings against log loss, and the curves of the trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nasrec_automl.report.content import RetrainTrial
from nasrec_automl.report.style import LOG_LOSS_AXIS, SEQUENCE, note, plain, styled, upper_limit
from nasrec_automl.report.summary import retrained_best

_SETTINGS = ("learning_rate", "weight_decay", "dropout", "batch_size")
_FURTHER = ("embedding_decay", "optimizer", "layer_norm", "embedding_dim", "table_cap")
"""Shown where trainings differ in them."""


def settings_figure(trials: Sequence[RetrainTrial]) -> go.Figure:
    """Log loss against each setting; hollow marks are trials that did not complete."""
    valued = [trial for trial in trials if trial.log_loss is not None and math.isfinite(trial.log_loss)]
    if not valued:
        return note("No training of the retrain study has a value.")
    limit = upper_limit([trial.log_loss or 0.0 for trial in valued])
    settings = [*_SETTINGS, *(name for name in _FURTHER if len({getattr(trial.hyper, name) for trial in valued}) > 1)]
    figure = make_subplots(cols=len(settings), shared_yaxes=True, horizontal_spacing=0.025)
    for column, setting in enumerate(settings, 1):
        places, axis = _axis(setting, [_setting(trial, setting) for trial in valued])
        for architecture, color in _colors(valued).items():
            mine = [(t, place) for t, place in zip(valued, places, strict=True) if t.architecture == architecture]
            figure.add_scatter(
                x=[place for _, place in mine],
                y=[min(trial.log_loss or 0.0, limit) for trial, _ in mine],
                name=plain(architecture),
                legendgroup=architecture,
                showlegend=column == 1,
                mode="markers",
                marker={
                    "color": color,
                    "size": 8,
                    "symbol": [_symbol(t, limit) for t, _ in mine],
                },
                customdata=[[t.number, plain(t.state), _setting(t, setting), t.log_loss] for t, _ in mine],
                hovertemplate="trial %{customdata[0]}, %{customdata[1]}<br>"
                + setting.replace("_", " ")
                + " %{customdata[2]}<br>log loss %{customdata[3]:.5f}",
                row=1,
                col=column,
            )
        figure.update_xaxes(title_text=setting.replace("_", " "), **axis, row=1, col=column)
    figure.update_yaxes(title_text=LOG_LOSS_AXIS, row=1, col=1)
    return styled(figure, height=380)


def retrain_curves(trials: Sequence[RetrainTrial]) -> go.Figure:
    """Validation log loss over the course of every training, the best trial of all drawn thick."""
    drawn = [trial for trial in trials if any(math.isfinite(loss) for _, loss in trial.curve)]
    if not drawn:
        return note("The trainings left no curves.")
    complete = [t for t in drawn if t.is_complete and t.log_loss is not None]
    best = min(complete, key=lambda t: t.log_loss or 0.0, default=None)
    figure = go.Figure()
    named: set[str] = set()
    colors = _colors(drawn)
    for trial in drawn:
        figure.add_scatter(
            x=[number for number, _ in trial.curve],
            y=[loss for _, loss in trial.curve],
            name=plain(trial.architecture),
            legendgroup=trial.architecture,
            legendrank=[*colors].index(trial.architecture),
            showlegend=trial.architecture not in named,
            mode="lines+markers" if len(trial.curve) < 3 else "lines",
            line={
                "color": colors[trial.architecture],
                "width": 3.5 if trial is best else 1.3,
                "dash": "solid" if trial.is_complete else "dot",
            },
            hovertemplate=f"trial {trial.number}, {plain(trial.state)}<br>at %{{x}}<br>log loss %{{y:.5f}}",
        )
        named.add(trial.architecture)
    losses = [loss for trial in drawn for _, loss in trial.curve if math.isfinite(loss)]
    low, high = min(losses), upper_limit(losses)
    margin = 0.05 * (high - low) or 0.001
    figure.update_xaxes(title_text="share of the schedule, in validations", rangemode="tozero")
    figure.update_yaxes(title_text=LOG_LOSS_AXIS, range=[low - margin, high + margin])
    return styled(figure, height=400)


def _setting(trial: RetrainTrial, setting: str) -> Any:
    if setting == "embedding_decay" and trial.hyper.embedding_decay is None:
        return trial.hyper.weight_decay
    return getattr(trial.hyper, setting)


def _symbol(trial: RetrainTrial, limit: float) -> str:
    shape = "triangle-up" if (trial.log_loss or 0.0) > limit else "circle"
    return shape if trial.is_complete else f"{shape}-open"


def _colors(trials: Sequence[RetrainTrial]) -> dict[str, str]:
    """One colour for each of the best architectures, the best first, and one for all others: there are no more."""
    best = retrained_best(trials)
    names = sorted({trial.architecture for trial in trials}, key=lambda name: (best.get(name, math.inf), name))
    return dict(zip_longest(names, SEQUENCE[: len(names)], fillvalue=SEQUENCE[-1]))


def _axis(setting: str, values: Sequence[Any]) -> tuple[list[Any], dict[str, object]]:
    """Places of a setting's values, and its axis. Zero stands a decade below the smallest rate."""
    if setting == "dropout":
        return list(values), {}
    if setting == "optimizer":
        return list(values), {"type": "category", "categoryorder": "category ascending"}
    if setting == "layer_norm":
        return ["yes" if value else "no" for value in values], {"type": "category", "categoryarray": ["no", "yes"]}
    if setting == "table_cap":
        caps = [f"{cap:,}" for cap in sorted({cap for cap in values if cap is not None})]
        return ["none" if cap is None else f"{cap:,}" for cap in values], {
            "type": "category",
            "categoryarray": [*caps, "none"],
        }
    if setting in ("batch_size", "embedding_dim"):
        sizes = sorted(set(values))
        return list(values), {"type": "log", "tickvals": sizes, "ticktext": [f"{size:g}" for size in sizes]}
    positive = [value for value in values if value > 0]
    if not positive:
        return list(values), {}
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    zero = 10.0 ** (low - 1)
    decades = [10.0**exponent for exponent in range(low, high + 1, 1 if high - low < 4 else 2)]
    ticks = ([zero] if len(positive) < len(values) else []) + decades
    axis: dict[str, object] = {
        "type": "log",
        "tickvals": ticks,
        "ticktext": ["0" if tick == zero else f"{tick:.0e}" for tick in ticks],
        "range": [math.log10(ticks[0]) - 0.3, high + 0.3],
    }
    return [value if value > 0 else zero for value in values], axis
