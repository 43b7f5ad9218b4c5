"""Figure of how far the search's scores agree with training from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from nasrec_automl.report.content import RetrainTrial, ScoredArchitecture
from nasrec_automl.report.style import BLUE, GREY, VERMILLION, note, plain, styled
from nasrec_automl.report.summary import agreement_in_words, in_both, retrained_best


def score_against_retrained(search: Sequence[ScoredArchitecture], retrain: Sequence[RetrainTrial]) -> go.Figure:
    """Score of each retrained architecture against its best log loss from scratch, with Kendall's tau."""
    retrained = retrained_best(retrain)
    both = in_both(search, retrain)
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
        text=agreement_in_words(search, retrain),
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
