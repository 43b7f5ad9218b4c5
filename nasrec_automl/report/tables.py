"""Tables and key numbers of the report, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from nasrec_automl.report.content import ResultRow, ScoredArchitecture
from nasrec_automl.report.style import COSTS
from nasrec_automl.report.summary import cost_text

_MISSING = "&ndash;"


def result_table(rows: Sequence[ResultRow]) -> str:
    """Every model on the same split; the best value of each measured column is bold."""
    if not rows:
        return "<p>Nothing has been measured yet.</p>"
    lowest = min(row.log_loss for row in rows), min(_known(row.test_log_loss, 1) for row in rows)
    highest = max(row.auc for row in rows), max(_known(row.test_auc, -1) for row in rows)
    lines = []
    for row in rows:
        cells = (
            _measured(row.log_loss, lowest[0]),
            _measured(row.auc, highest[0]),
            _measured(row.test_log_loss, lowest[1]),
            _measured(row.test_auc, highest[1]),
            _counted(row.macs),
            _counted(row.parameters),
        )
        lines.append(
            f'<tr class="{"winner" if row.wins else ""}">'
            f"{head_cell(row.name)}{left_cell(_kind(row))}{''.join(cells)}</tr>"
        )
    return (
        '<table class="results"><thead><tr><th rowspan="2">model</th><th rowspan="2">kind</th>'
        '<th colspan="2" class="group">validation</th><th colspan="2" class="group">test</th>'
        '<th rowspan="2">multiply-adds<br>per example</th><th rowspan="2">parameters</th></tr>'
        "<tr><th>log loss</th><th>AUC</th><th>log loss</th><th>AUC</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def key_numbers(winner: ResultRow | None) -> str:
    """The winner's numbers, in large type."""
    if winner is None:
        return ""
    part = "validation" if winner.test_auc is None else "test"
    auc = winner.auc if winner.test_auc is None else winner.test_auc
    log_loss = winner.log_loss if winner.test_log_loss is None else winner.test_log_loss
    numbers = [(f"{part} AUC", f"{auc:.4f}"), (f"{part} log loss (nats)", f"{log_loss:.4f}")]
    if winner.macs is not None:
        numbers.append(("multiply-adds per example", short(winner.macs)))
    if winner.parameters is not None:
        numbers.append(("parameters", short(winner.parameters)))
    return tiles(numbers)


def tiles(numbers: Sequence[tuple[str, str]]) -> str:
    """Labels with their numbers in large type."""
    shown = (f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in numbers)
    return f'<dl class="numbers">{"".join(shown)}</dl>'


def front_table(front: Sequence[ScoredArchitecture], costs: Sequence[str]) -> str:
    """The Pareto front: the name of each architecture, its score and its costs.

    Args:
        front: in order.
        costs: names of the costs to show.
    """
    if not front:
        return "<p>The search has scored no architecture.</p>"
    lines = [
        [
            head_cell(each.name),
            f"{each.log_loss:.4f}",
            _MISSING if each.auc is None else f"{each.auc:.4f}",
            *(cost_text(each, name) or _MISSING for name in costs),
        ]
        for each in front
    ]
    return table(["architecture", "log loss", "AUC", *(escape(COSTS[name]) for name in costs)], lines)


def fact_table(facts: Mapping[str, str]) -> str:
    """What was run."""
    if not facts:
        return "<p>No facts were recorded.</p>"
    rows = (f"<tr>{head_cell(name)}<td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of one line of heads, each of which stands at the left where the cells below it do.

    Args:
        heads: HTML, the inside of a cell.
        lines: cells: what `head_cell` or `left_cell` made, or the inside of a cell whose text stands at the right.
    """
    cells = [[cell if cell.startswith(("<td", "<th")) else f"<td>{cell}</td>" for cell in line] for line in lines]
    left = [not cell.startswith("<td>") for cell in cells[0]] if cells else [False] * len(heads)
    top = "".join(
        f'<th class="kind">{head}</th>' if at_left else f"<th>{head}</th>"
        for head, at_left in zip(heads, left, strict=True)
    )
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in cells)
    return f'<div class="wide"><table class="results"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def head_cell(text: str) -> str:
    """The cell that says what a line is about."""
    return f'<th scope="row">{escape(text)}</th>'


def left_cell(text: str) -> str:
    """A cell whose text stands at the left."""
    return f"<td class='kind'>{escape(text)}</td>"


def short(number: int) -> str:
    """A count with three digits.

    Example:
        >>> short(1464700), short(999_900), short(950)
        ('1.46 M', '1.00 M', '950')
    """
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size - size // 2000:  # less is at most 999 of the next smaller unit
            value = number / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return str(number)


def _kind(row: ResultRow) -> str:
    return f"winner, {row.kind}" if row.wins else row.kind


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _measured(value: float | None, best: float) -> str:
    if value is None:
        return f"<td>{_MISSING}</td>"
    return f"<td><b>{value:.4f}</b></td>" if value == best else f"<td>{value:.4f}</td>"


def _counted(value: int | None) -> str:
    return f"<td>{_MISSING}</td>" if value is None else f"<td>{value:,}</td>"
