"""Static pictures of the results: SVG without scripts, which GitHub and a site of the docs show alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from nasrec_automl.ranking import error_of_mean
from nasrec_automl.report.style import BLUE, FAINT, GREEN, GREY, GRID, INK, PAPER, VERMILLION, upper_limit
from nasrec_automl.report.svg import Canvas

_WIDTH, _ROW = 760, 22
_SIZES = ((GREEN, "smallest third by parameters"), (BLUE, "middle third"), (VERMILLION, "largest third"))
_COLORS = {"ahead": BLUE, "level": GREY, "behind": VERMILLION}

Scale = Callable[[float], float]
Row = tuple[str, float, float, float, str]
"""Label, value, low and high end of its line, and colour."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`.

    Example:
        >>> ticks(0.0, 1.0)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((one for one in (1, 2, 5, 10)), key=lambda one: abs(one * power - raw))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def scatter(rank: Mapping[str, Any], title: str) -> str:
    """Score of each architecture against its mean log loss from scratch; a vertical line is one standard error.

    Trainings that went wrong lie on the upper edge: to scale they would press all others into a line.
    """
    points = sorted(rank["architectures"], key=lambda point: point["parameters"])
    means = [fmean(point["losses"]) for point in points]
    errors = [error_of_mean(point["losses"]) for point in points]
    height, left, right, top, bottom = 440, 90, 24, 44, 60
    canvas = _paper(height)
    scores = [point["score"] for point in points]
    x = _axis(scores, left, _WIDTH - right)
    limit = upper_limit(means)
    kept = [(mean, error) for mean, error in zip(means, errors, strict=True) if mean <= limit]
    ends = [mean + sign * error for mean, error in kept for sign in (-1, 1)]
    y = _axis(ends, height - bottom, top)
    for tick in _ticks(scores):
        canvas.line(f"M{x(tick):.1f} {top}V{height - bottom}", color=GRID, width=1)
        canvas.text(x(tick), height - bottom + 18, _number(tick), color=GREY)
    for tick in _ticks(ends):
        canvas.line(f"M{left} {y(tick):.1f}H{_WIDTH - right}", color=GRID, width=1)
        canvas.text(left - 8, y(tick) + 4, _number(tick), color=GREY, anchor="end")
    canvas.text((left + _WIDTH - right) / 2, height - 16, "score by the supernet's weights (nats)", color=INK)
    canvas.text(20, (top + height - bottom) / 2, "log loss from scratch (nats)", color=INK, upright=True)
    for number, (point, mean, error) in enumerate(zip(points, means, errors, strict=True)):
        color, _ = _SIZES[number * len(_SIZES) // len(points)]
        if mean > limit:
            canvas.dot(round(x(point["score"]), 1), top, color=color)
            canvas.text(x(point["score"]), top + 16, f"{mean:.3g}", color=color, size=11)
            continue
        if error:
            low, high = y(mean - error), y(mean + error)
            canvas.line(f"M{x(point['score']):.1f} {low:.1f}V{high:.1f}", color=color, width=1)
        canvas.dot(round(x(point["score"]), 1), round(y(mean), 1), color=color)
    for number, (color, name) in enumerate(_SIZES):
        canvas.dot(left + 8 + 220 * number, 22, color=color)
        canvas.text(left + 18 + 220 * number, 26, name, color=INK, anchor="start")
    return canvas.render(_WIDTH, height, label=f"{title}: scores against log losses from scratch") + "\n"


def taus(ablations: Mapping[str, Any], title: str) -> str:
    """Kendall's tau of each variant with its 95 % interval, in groups."""
    rows: list[Row | str] = []
    group = None
    for one in ablations["variants"]:
        tau = one.get("tau")
        if tau is None or tau["value"] is None:
            continue
        if one["group"] != group:
            group = one["group"]
            rows.append(group)
        rows.append((one["variant"], tau["value"], tau["low"], tau["high"], BLUE))
    return _rows(rows, title=f"{title}: Kendall's tau by variant", axis="Kendall's tau, with its 95 % interval", at=0.0)


def differences(rows: Sequence[tuple[Mapping[str, Any], str]], title: str) -> str:
    """Log loss of each method less ours, with two standard errors; right of 0 ours is the better one.

    Args:
        rows: a method's row with the word for where ours stands: ahead, level or behind.
        title: the data set's.
    """
    found: list[Row | str] = []
    for row, standing in sorted(rows, key=lambda pair: pair[0]["less_ours"]["log_loss"]["mean"]):
        less = row["less_ours"]["log_loss"]
        reach = 2 * less["error"]
        found.append((row["method"], less["mean"], less["mean"] - reach, less["mean"] + reach, _COLORS[standing]))
    axis = "log loss on test less ours (nats), with two standard errors; right of 0 ours is ahead"
    return _rows(found, title=f"{title}: methods less ours", axis=axis, at=0.0)


def _rows(rows: Sequence[Row | str], *, title: str, axis: str, at: float) -> str:
    """One line a row, as a dot with the line of its interval; a text alone is a heading.

    Args:
        rows: from above.
        title: for readers who do not see it.
        axis: what the horizontal axis shows.
        at: where a line marks the axis.
    """
    left, right, top, bottom = 250, 24, 14, 50
    height = top + _ROW * len(rows) + bottom
    canvas = _paper(height)
    values = [at, *(value for row in rows if not isinstance(row, str) for value in row[1:4])]
    x = _axis(values, left, _WIDTH - right)
    for tick in _ticks(values):
        canvas.line(f"M{x(tick):.1f} {top}V{height - bottom}", color=GRID, width=1)
        canvas.text(x(tick), height - bottom + 18, _number(tick), color=GREY)
    canvas.line(f"M{x(at):.1f} {top}V{height - bottom}", color=FAINT, width=1.4)
    for number, row in enumerate(rows):
        middle = top + _ROW * (number + 0.5)
        if isinstance(row, str):
            canvas.text(12, middle + 4, row, color=INK, anchor="start", bold=True)
            continue
        label, value, low, high, color = row
        canvas.text(left - 12, middle + 4, label, color=INK, anchor="end")
        canvas.line(f"M{x(low):.1f} {middle:g}H{x(high):.1f}", color=color, width=1.4)
        canvas.dot(round(x(value), 1), middle, color=color)
    canvas.text((left + _WIDTH - right) / 2, height - 12, axis, color=INK)
    return canvas.render(_WIDTH, height, label=title) + "\n"


def _paper(height: float) -> Canvas:
    """A canvas with a background: on a dark page ink would be lost without one."""
    canvas = Canvas()
    canvas.box(0, 0, _WIDTH, height, fill=PAPER, stroke="none", radius=0)
    return canvas


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value with some room around them."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.01
    return low - room, high + room


def _ticks(values: Sequence[float]) -> list[float]:
    return ticks(*_range(values))


def _axis(values: Sequence[float], start: float, end: float) -> Scale:
    """From values to pixels between `start` and `end`."""
    low, high = _range(values)
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"
