"""Figures of a data set: positive rate over time, sizes of the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.statistics import FieldStatistics, Period
from nasrec_automl.report.style import FAINT, INK, SEQUENCE, VERMILLION, note, plain, styled

# Of fewer rows a rate is mostly chance; a bin is drawn with so many, and a line is to have so many in each.
_FEWEST, _ENOUGH = 100, 400
_MOST_FIELDS = 60
# Seconds since 1970, the last of which is between 1980 and 2032: other numbers are shown as they are. Whole numbers
# that write a date as YYYYMMDDHH begin there, at 1985010100.
_LAST_SECONDS = (3.2e8, 1.985e9)


@dataclass(frozen=True)
class _Point:
    """The rows of a part in some joined bins."""

    start: float
    end: float
    rows: int
    positives: int

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    @property
    def rate(self) -> float:
        return self.positives / self.rows

    @property
    def error(self) -> float:
        return float((self.rate * (1 - self.rate) / self.rows) ** 0.5)


def positive_rate_over_time(periods: Sequence[Period]) -> go.Figure:
    """The positive rate of each part over time, a line for each that breaks between periods, over the rows by part.

    Neighbouring bins are joined until a part has enough rows in each.
    """
    if not periods:
        return note("The time of the rows is not known, so there is nothing to show over time.")
    first, last = min(period.edges[0] for period in periods), max(period.edges[-1] for period in periods)
    dates = first >= 0 and _LAST_SECONDS[0] < last < _LAST_SECONDS[1]

    def shown(time: float) -> float | str:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}" if dates else time

    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.05)
    for part, color in zip(PARTS, SEQUENCE, strict=False):
        line: list[_Point | None] = []
        for period in periods:
            line += [*_points(period, part), None]
        drawn = [point for point in line if point is not None]
        if drawn:
            figure.add_scatter(
                x=[None if point is None else shown(point.middle) for point in line],
                y=[None if point is None else point.rate for point in line],
                error_y={
                    "type": "data",
                    "array": [None if point is None else point.error for point in line],
                    "thickness": 1,
                    "width": 0,
                },
                customdata=[(0, 0.0) if point is None else (point.rows, point.error) for point in line],
                name=part.value,
                legendgroup=part.value,
                mode="lines+markers",
                line={"color": color, "width": 2.4 if part is Part.TRAIN else 1.4},
                marker={"size": 5},
                hovertemplate="%{y:.2%} ± %{customdata[1]:.2%} of %{customdata[0]:,} rows",
                row=1,
                col=1,
            )
        bars = [bar for period in periods for bar in _bins(period, part, 1) if bar.rows]
        figure.add_bar(
            x=[shown(bar.middle) for bar in bars],
            y=[bar.rows for bar in bars],
            width=[(bar.end - bar.start) * (1000 if dates else 1) for bar in bars],  # of dates in milliseconds
            name=part.value,
            legendgroup=part.value,
            showlegend=bool(bars) and not drawn,
            marker={"color": color, "line": {"width": 0}},
            hovertemplate="%{y:,} rows",
            row=2,
            col=1,
        )
    figure.update_layout(barmode="stack", bargap=0)
    figure.update_yaxes(title_text="positive rate", tickformat=".3~p", row=1)
    figure.update_yaxes(title_text="rows", rangemode="tozero", nticks=4, row=2)
    figure.update_xaxes(title_text="time (UTC)" if dates else "time", row=2)
    return styled(figure, height=470)


def sizes_of_fields(fields: Sequence[FieldStatistics], table_rows: Sequence[int]) -> go.Figure:
    """Categories of each field, how many of them are seen more than once, and the rows of its table.

    Args:
        fields: with more than 60, the largest.
        table_rows: of each field.
    """
    largest = sorted(zip(fields, table_rows, strict=True), key=lambda pair: pair[0].categories)[-_MOST_FIELDS:]
    names = [plain(field.name) for field, _ in largest]
    top = math.log10(max(10, *(max(field.categories, rows) for field, rows in largest))) + 0.1
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=[field.categories for field, _ in largest],
        orientation="h",
        name="categories",
        marker={"color": FAINT},
        hovertemplate="%{x:,} categories",
    )
    figure.add_bar(
        y=names,
        x=[at_least(field, 2) for field, _ in largest],
        orientation="h",
        name="of them seen more than once",
        marker={"color": SEQUENCE[0]},
        hovertemplate="%{x:,} seen more than once",
    )
    figure.add_scatter(
        y=names,
        x=[rows for _, rows in largest],
        name="rows of the table",
        mode="markers",
        marker={"symbol": "line-ns", "size": 15, "line": {"width": 3, "color": VERMILLION}, "color": INK},
        hovertemplate="%{x:,} rows",
    )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title_text="number, on a logarithmic scale", type="log", dtick=1, range=[0, top])
    figure.update_yaxes(ticks="", type="category")
    return styled(figure, height=120 + 22 * len(largest))


def at_least(field: FieldStatistics, count: int) -> int:
    """Return how many categories occur so often in the rows that tables were learned of; `count` is a power of 2."""
    return dict(field.sizes).get(count, 0)


def _points(period: Period, part: Part) -> list[_Point]:
    single = [bar for bar in _bins(period, part, 1) if bar.rows]
    rows, bins = sum(bar.rows for bar in single), len(period.edges) - 1
    # Joined bins must share the period out evenly, so that all are of one length.
    steps = [step for step in range(1, bins + 1) if bins % step == 0]
    step = next((step for step in steps if rows * step >= _ENOUGH * len(single)), bins)
    return [bar for bar in _bins(period, part, step) if bar.rows >= _FEWEST]


def _bins(period: Period, part: Part, step: int) -> Iterator[_Point]:
    for (start, end), begin in zip(pairwise(period.edges[::step]), range(0, len(period.edges) - 1, step), strict=True):
        some = slice(begin, begin + step)
        yield _Point(start, end, sum(period.rows[part][some]), sum(period.positives[part][some]))
