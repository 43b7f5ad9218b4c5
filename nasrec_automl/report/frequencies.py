"""Figure of what the best architectures of a search are made of, beside what the others are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nasrec_automl.architecture import Architecture, Block, Live
from nasrec_automl.report.content import ScoredArchitecture
from nasrec_automl.report.style import BLUE, FAINT, note, styled
from nasrec_automl.report.summary import by_score
from nasrec_automl.report.wiring import OPERATORS

_FEWEST = 10
"""Architectures below which there is no decile to speak of."""

_MOST_LEVEL = 4
"""Names of operators that stand beside each other without touching, in the dashboard's half of a page."""

_Choice = Callable[[Block, Live], str | int | None]

_PANELS: dict[str, _Choice] = {
    "dense operator": lambda block, live: block.dense_op if live.dense else None,
    "sparse operator": lambda block, live: block.sparse_op if live.sparse else None,
    "dense width": lambda block, live: block.dense_dim if live.dense else None,
    "sparse tokens": lambda block, live: block.sparse_dim if live.sparse else None,
}


def frequencies(search: Sequence[ScoredArchitecture]) -> go.Figure:
    """Shares of operators and widths among the blocks of the best decile, and of all others.

    Parts that nothing reads do not count: they cannot have made an architecture good.
    """
    known = [(scored, a) for scored in by_score(search) if (a := scored.architecture) is not None]
    if len(known) < _FEWEST:
        return note(f"Fewer than {_FEWEST} architectures were scored: too few to compare the best with the others.")
    best = len(known) // 10
    groups = (
        (f"best decile ({best:,})", BLUE, [architecture for _, architecture in known[:best]]),
        (f"the others ({len(known) - best:,})", FAINT, [architecture for _, architecture in known[best:]]),
    )
    figure = make_subplots(rows=2, cols=2, subplot_titles=list(_PANELS), vertical_spacing=0.34)
    for index, choice in enumerate(_PANELS.values()):
        row, column = index // 2 + 1, index % 2 + 1
        counts = [Counter(_chosen(architectures, choice)) for _, _, architectures in groups]
        values = _in_order({value for count in counts for value in count})
        for (name, color, _), count in zip(groups, counts, strict=True):
            figure.add_bar(
                x=[_label(value) for value in values],
                y=[count[value] / max(1, count.total()) for value in values],
                name=name,
                legendgroup=name,
                showlegend=index == 0,
                marker_color=color,
                customdata=[count[value] for value in values],
                hovertemplate="%{x}: %{y:.1%} (%{customdata:,} blocks)<extra>" + name + "</extra>",
                row=row,
                col=column,
            )
        slanted = len(values) > _MOST_LEVEL and isinstance(values[0], str)
        figure.update_xaxes(tickangle=-40 if slanted else 0, row=row, col=column)
    figure.update_xaxes(type="category", tickfont={"size": 11}).update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_annotations(font={"size": 13})
    return styled(figure, height=480).update_layout(barmode="group", bargap=0.25, legend={"y": 1.1})


def _chosen(architectures: Sequence[Architecture], choice: _Choice) -> Iterator[str | int]:
    for architecture in architectures:
        for block, live in zip(architecture.blocks, architecture.live, strict=True):
            if (value := choice(block, live)) is not None:
                yield value


def _in_order(values: set[str | int]) -> list[str | int]:
    """Operators as the pictures list them, numbers by size."""
    names = list(OPERATORS)
    return sorted(values, key=lambda value: names.index(value) if isinstance(value, str) else value)


def _label(value: str | int) -> str:
    return OPERATORS[value] if isinstance(value, str) else str(value)
