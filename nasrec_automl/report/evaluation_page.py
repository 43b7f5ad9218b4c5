"""The page on models that were measured on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nasrec_automl.report.evaluation_content import Difference, Evaluation
from nasrec_automl.report.figures import calibration
from nasrec_automl.report.page import figure_html, page, section
from nasrec_automl.report.sentences import count
from nasrec_automl.report.style import FAINT, SEQUENCE, plain, styled
from nasrec_automl.report.tables import head_cell, table

_SURE = 2
"""Standard errors from which on a difference counts as shown."""

Value = Callable[[Difference], tuple[float | None, float | None]]


def with_error(value: float | None, error: float | None = None, sign: str = "") -> str:
    """Four decimals, or as many more as a small error has two digits in; `n/a` for None.

    Example:
        >>> with_error(0.123456), with_error(-0.000123, 0.000045, "+")
        ('0.1235', '-0.000123 ± 0.000045')
    """
    if value is None:
        return "n/a"
    if error is None:
        return f"{value:{sign}.4f}"
    digits = 4 if error >= 5e-4 or not error else 1 - math.floor(math.log10(error))
    return f"{value:{sign}.{digits}f} ± {error:.{digits}f}"


def evaluation_headline(evaluations: Sequence[Evaluation]) -> str:
    """What the figures say, in a sentence or two."""
    first, *others = evaluations
    rows = f"on {count(first.rows, 'row')} with a click rate of {first.positive_rate:.4g}"
    if not others:
        auc = "" if first.auc is None else f" and an AUC of {first.auc:.4f}"
        return f"{first.name} has a log loss of {first.log_loss:.4f}{auc} {rows}."
    best = min(evaluations, key=lambda one: one.log_loss)
    text = f"{best.name} has the lowest log loss of {count(len(evaluations), 'model')} {rows}."
    other = min(others, key=lambda one: one.log_loss)
    less = other.less_first
    assert less is not None, "all but the first are compared with it"
    apart = with_error(abs(less.log_loss), less.log_loss_error)
    is_first = best is first
    between = f"The next, {other.name}, is {apart} above" if is_first else f"It is {apart} nats below {first.name}"
    if less.log_loss_error is None:
        return f"{text} {between}."
    shown = abs(less.log_loss) > _SURE * less.log_loss_error
    return f"{text} {between}, {'more than two standard errors' if shown else 'which may be chance'}."


def differences(evaluations: Sequence[Evaluation]) -> go.Figure:
    """Log loss and AUC of each other model less the first's, with two standard errors."""
    _, *others = evaluations
    columns: list[tuple[str, Value]] = [
        ("log loss less the first's (nats)", lambda less: (less.log_loss, less.log_loss_error)),
        ("AUC less the first's", lambda less: (less.auc, less.auc_error)),
    ]
    if any(one.less_first is not None and one.less_first.group_auc is not None for one in others):
        columns.append(("AUC within groups", lambda less: (less.group_auc, less.group_auc_error)))
    figure = make_subplots(cols=len(columns), shared_yaxes=True, horizontal_spacing=0.04)
    for column, (title, value) in enumerate(columns, 1):
        found = [(plain(one.name), *value(one.less_first)) for one in others if one.less_first is not None]
        known = [(name, apart, error or 0.0) for name, apart, error in found if apart is not None]
        figure.add_scatter(
            x=[apart for _, apart, _ in known],
            y=[name for name, _, _ in known],
            error_x={"type": "data", "array": [_SURE * error for *_, error in known], "thickness": 1.5, "width": 4},
            mode="markers",
            marker={"size": 9, "color": SEQUENCE[0]},
            showlegend=False,
            hovertemplate="%{y}<br>%{x:+.5f}<extra></extra>",
            row=1,
            col=column,
        )
        figure.add_vline(x=0, line={"color": FAINT, "dash": "dash"}, row=1, col=column)
        figure.update_xaxes(title_text=title, nticks=5, row=1, col=column)
    figure.update_yaxes(autorange="reversed", type="category")
    return styled(figure, height=110 + 34 * len(others)).update_layout(margin={"t": 16})


def render_evaluation(evaluations: Sequence[Evaluation], *, rows: str, group: str | None = None) -> str:
    """The page's HTML. Equal evaluations give equal text.

    Args:
        evaluations: of the models; all but the first have been compared with it.
        rows: what they were measured on.
        group: what the AUC was measured within.
    """
    first, *others = evaluations
    body = [
        "<h1>Models on the same rows</h1>",
        f'<p class="subtitle">{escape(rows)}</p>',
        f'<p class="lead">{escape(evaluation_headline(evaluations))}</p>',
        section("Figures", _figures(evaluations, group)),
    ]
    if others:
        paired = "paired by row" if group is None else f"paired by row, and within {group} by {group}"
        caption = (
            f"What the figures of each other model are less those of {first.name}, ± 2 standard errors ({paired}). "
            "To the left of the dashed line a log loss is better, to its right an AUC. The errors say nothing of what "
            "another seed would have given."
        )
        body.append(section("Differences", figure_html("differences", differences(evaluations), caption)))
    caption = "How often rows with a given prediction were clicked: on the diagonal, predictions mean what they say. "
    caption += "Vertical lines are ± 2 standard errors."
    curves = {one.name: one.calibration for one in evaluations}
    body.append(section("Calibration", figure_html("calibration", calibration(curves), caption)))
    return page("Models on the same rows", body)


def _figures(evaluations: Sequence[Evaluation], group: str | None) -> str:
    heads = ["model", "log loss", "AUC", "normalised<br>entropy", "mean<br>probability"]
    lines = [
        [
            head_cell(one.name),
            with_error(one.log_loss, one.log_loss_error),
            with_error(one.auc),
            with_error(one.normalised_entropy),
            f"{one.mean_probability:.4g}",
        ]
        for one in evaluations
    ]
    rate = f"{evaluations[0].positive_rate:.4g}"
    note = (
        "± is one standard error. The normalised entropy is the log loss as a share of that of a model which knows the "
        f"click rate alone; a mean probability is to be compared with the click rate, {rate}."
    )
    if group is not None:
        heads.append(f"AUC within<br>{escape(group)}")
        lines = [[*line, with_error(one.group_auc)] for line, one in zip(lines, evaluations, strict=True)]
        note += (
            f" The AUC within {group} is the mean over its {evaluations[0].groups or 0:,} values that have rows with a "
            "click and without one, weighted by rows."
        )
    return f"{table(heads, lines)}<p class='note'>{escape(note)}</p>"
