"""Figure of how far the search's scores agree with training from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from nasrec_automl.ranking import kendall_tau
from nasrec_automl.report.content import RetrainTrial, ScoredArchitecture
from nasrec_automl.report.style import BLUE, GREY, VERMILLION, note, plain, styled
from nasrec_automl.report.summary import in_order, retrained_best


def score_against_retrained(search: Sequence[ScoredArchitecture], retrain: Sequence[RetrainTrial]) -> go.Figure:
    """Score of each retrained architecture against its best log loss from scratch, with Kendall's tau."""
    retrained = retrained_best(retrain)
    both = [scored for scored in in_order(search) if scored.name in retrained]
    if not both:
        return note("No architecture of the search has been trained from scratch yet.")
    figure = go.Figure()
    for name, color, scores in (
        ("searched", BLUE, [scored for scored in both if not scored.hand]),
        ("hand designs", VERMILLION, [scored for scored in both if scored.hand]),
    ):
        if scores:
            figure.add_scatter(
                x=[scored.log_loss for scored in scores],
                y=[retrained[scored.name] for scored in scores],
                error_x={"type": "data", "array": [s.standard_error for s in scores], "thickness": 1, "width": 3},
                name=name,
                mode="markers",
                marker={"color": color, "size": 9},
                text=[plain(scored.name) for scored in scores],
                hovertemplate="<b>%{text}</b><br>score %{x:.5f}<br>from scratch %{y:.5f}<extra></extra>",
            )
    figure.add_annotation(
        text=agreement_in_words([scored.log_loss for scored in both], [retrained[scored.name] for scored in both]),
        x=1,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="bottom",
        showarrow=False,
        font={"color": GREY},
    )
    figure.update_xaxes(title_text="score in the search, ± standard error (nats)")
    figure.update_yaxes(title_text="log loss from scratch (nats)")
    return styled(figure, height=440)


def agreement_in_words(scores: Sequence[float], retrained: Sequence[float]) -> str:
    """Kendall's tau of two orders: 1 where they are the same, -1 where one is the other reversed.

    Example:
        >>> agreement_in_words([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
        "Kendall's τ = 1.00 over 3 architectures"
        >>> agreement_in_words([0.1], [0.5])
        "Kendall's τ: too few architectures"
    """
    tau = kendall_tau(np.array(scores), np.array(retrained))
    if math.isnan(tau):
        return "Kendall's τ: too few architectures"
    return f"Kendall's τ = {tau:.2f} over {len(scores):,} architectures"
