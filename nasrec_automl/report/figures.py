"""Figures of the supernet's training and of calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nasrec_automl.report.calibration import rate_error
from nasrec_automl.report.content import CalibrationBin, CurvePoint
from nasrec_automl.report.style import BLUE, FAINT, LOG_LOSS_AXIS, SEQUENCE, VERMILLION, note, plain, styled


def supernet_curves(points: Sequence[CurvePoint]) -> go.Figure:
    """Log loss and AUC of the supernet over training steps, side by side."""
    if not points:
        return note("The supernet's training left no validation results.")
    points = sorted(points, key=lambda point: point.step)
    steps = [point.step for point in points]
    figure = make_subplots(cols=2, horizontal_spacing=0.1)
    trained = [point for point in points if point.train_loss is not None]
    if trained:
        figure.add_scatter(
            x=[point.step for point in trained],
            y=[point.train_loss for point in trained],
            name="log loss, training batches",
            mode="lines",
            line={"color": FAINT, "width": 1.5},
            row=1,
            col=1,
        )
    for column, name, values in (
        (1, "log loss, validation", [point.log_loss for point in points]),
        (2, "AUC, validation", [point.auc for point in points]),
    ):
        figure.add_scatter(
            x=steps,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": BLUE if column == 1 else VERMILLION, "width": 2},
            marker={"size": 5},
            row=1,
            col=column,
        )
    figure.update_xaxes(title_text="training step", rangemode="tozero")
    figure.update_yaxes(title_text=LOG_LOSS_AXIS, col=1).update_yaxes(title_text="AUC", col=2)
    return styled(figure, height=360)


def calibration(curves: Mapping[str, Sequence[CalibrationBin]]) -> go.Figure:
    """Observed against predicted click rate of each model, ± 2 standard errors, over the rows of the predictions."""
    drawn = {
        name: sorted((each for each in bins if each.rows), key=lambda each: each.predicted)
        for name, bins in curves.items()
    }
    every = [each for bins in drawn.values() for each in bins]
    if not every:
        return note("No predictions were measured, so there is no calibration to show.")
    most = min(1.0, 1.08 * max(max(each.predicted, each.observed) for each in every))
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.05)
    figure.add_scatter(
        x=[0, most],
        y=[0, most],
        name="perfect",
        mode="lines",
        line={"color": FAINT, "dash": "dash"},
        row=1,
        col=1,
    )
    for (name, bins), colour in zip(drawn.items(), cycle(SEQUENCE), strict=False):
        predicted, rows = [each.predicted for each in bins], [each.rows for each in bins]
        figure.add_scatter(
            x=predicted,
            y=[each.observed for each in bins],
            error_y={"type": "data", "array": [2 * _error(each) for each in bins], "thickness": 1.2, "width": 3},
            name=plain(name),
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"size": 8 if len(drawn) == 1 else 6},
            customdata=rows,
            hovertemplate="predicted %{x:.4f}<br>observed %{y:.4f}<br>%{customdata:,} rows<extra></extra>",
            row=1,
            col=1,
        )
        figure.add_bar(
            x=predicted,
            y=rows,
            width=most / 60,
            marker={"color": colour, "opacity": 0.6},
            legendgroup=name,
            showlegend=False,
            hovertemplate="predicted %{x:.4f}<br>%{y:,} rows<extra></extra>",
            row=2,
            col=1,
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(range=[0, most])
    figure.update_xaxes(title_text="predicted click probability", row=2)
    figure.update_yaxes(title_text="observed click rate", range=[0, most], row=1)
    figure.update_yaxes(title_text="rows", rangemode="tozero", nticks=3, row=2)
    return styled(figure, height=480)


def _error(each: CalibrationBin) -> float:
    return rate_error(each.observed, each.rows) if each.error is None else each.error
