"""Tables of a data report, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.columns import DenseColumn
from nasrec_automl.data.parts import VALIDATION, Part
from nasrec_automl.data.statistics import FieldStatistics
from nasrec_automl.data.values import percent
from nasrec_automl.report.data_content import DataContent, table_bytes
from nasrec_automl.report.data_figures import at_least
from nasrec_automl.report.tables import head_cell, left_cell, table

_PURPOSES = {
    Part.TRAIN: "training of supernet and models",
    Part.HEAD: "training, for heads of the search",
    Part.SEARCH: "validation, supernet and scores of the search",
    Part.HPO: "validation, scores of hyper-parameters",
    Part.CHOICE: "validation, choice of the winner (with search rows, where scores do not count)",
    Part.TEST: "read once, at the end",
}
_CAPS = (10_000, 100_000, 500_000, None)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)
_LONGEST = 40


def parts_table(content: DataContent) -> str:
    """Rows and positive rate of each part."""
    lines = []
    for part, described in content.description.parts.items():
        weight = [] if described.weight is None else [_weight(described.weight)]
        lines.append(
            [
                head_cell(part.value),
                left_cell(_PURPOSES[part]),
                f"{described.rows:,}",
                escape(share(described.rows / content.rows)),
                *weight,
                percent(described.positive_rate, 3),
                percent(part_error(content, part), 3),
            ]
        )
    weighted = any(part.weight is not None for part in content.description.parts.values())
    heads = ["part", "for", "rows", "share", *(["weight"] if weighted else []), "positive", "standard error"]
    return table(heads, lines)


def _weight(weight: float) -> str:
    return f"{weight:,.0f}" if weight >= 1000 else f"{weight:.4g}"


def part_error(content: DataContent, part: Part) -> float:
    """Standard error of a part's positive rate, of rows that weigh alike: each is one observation."""
    described = content.description.parts[part]
    rate, rows = described.positive_rate, described.rows
    return float((rate * (1 - rate) / rows) ** 0.5) if rows else 0.0


def fields_table(content: DataContent) -> str:
    """Table, missing and unknown values of each field."""
    lines = [
        [
            head_cell(field.name),
            left_cell(_kind(column)),
            f"{sum(column.field().tables):,}",
            f"{field.categories:,}",
            escape(share(field.missing)),
            *(
                escape(share(content.unknown_share(field.name, parts)))
                for parts in ((Part.TRAIN,), (Part.HEAD,), VALIDATION)
            ),
        ]
        for field, column in _fields(content)
    ]
    heads = ["field", "table", "rows of<br>the table", "categories", "missing<br>(training)"]
    return table([*heads, "unknown<br>in train", "unknown<br>in head", "unknown in<br>validation"], lines)


def memory_table(fields: Sequence[FieldStatistics]) -> str:
    """Memory of all tables for each smallest number of occurrences and each cap."""
    lines = [
        [
            head_cell(str(count)),
            f"{sum(_rows(field, count, None) for field in fields):,}",
            *(memory(sum(table_bytes(_rows(field, count, cap)) for field in fields)) for cap in _CAPS),
        ]
        for count in _COUNTS
    ]
    heads = ["min_count", "rows without<br>a cap"]
    return table([*heads, *("no cap" if cap is None else f"at most<br>{cap:,} rows" for cap in _CAPS)], lines)


def vocabulary_table(fields: Sequence[FieldStatistics]) -> str:
    """Rows that a vocabulary of each field would have for each smallest number of occurrences."""
    lines = [
        [
            head_cell(field.name),
            *(f"{_rows(field, count, None):,}" for count in _COUNTS),
            memory(table_bytes(_rows(field, 1, None))),
        ]
        for field in fields
    ]
    return table(["field", *(f"min_count<br>{count}" for count in _COUNTS), "memory at<br>min_count 1"], lines)


def top_values(fields: Sequence[FieldStatistics]) -> str:
    """The most frequent values of each field, with bars."""
    return f'<div class="cards">{"".join(map(_card, fields))}</div>'


def dense_table(content: DataContent) -> str:
    """The number columns and their transforms."""
    columns = {column.name: column for column in content.preprocessing.dense}
    lines = [
        [
            head_cell(each.name),
            left_cell(_transform(columns[each.name])),
            escape(share(each.missing)),
            *("&ndash;" if value is None else f"{value:,.6g}" for value in (each.mean, each.low, each.high)),
        ]
        for each in content.statistics.dense
    ]
    return table(["column", "transform", "missing", "mean", "smallest", "largest"], lines)


def rejected_table(content: DataContent) -> str:
    """Why rows were left out."""
    lines = [
        [
            head_cell(each.reason),
            f"{each.rows:,}",
            left_cell(each.first),
            f"<td class='kind'><code>{escape(_cut(each.text, 80))}</code></td>",
        ]
        for each in content.rejected
    ]
    return table(["reason", "rows", "the first", "its text"], lines)


def share(value: float) -> str:
    """A share in percent.

    Example:
        >>> share(0.0), share(0.0004), share(0.1234), share(1.0)
        ('0', '<0.1%', '12.3%', '100%')
    """
    if value == 0:
        return "0"
    if value < 0.0005:
        return "<0.1%"
    return f"{value:.1%}" if value < 0.9995 else "100%" if value == 1 else ">99.9%"


def memory(size: int) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> memory(1_250_000_000), memory(128_000), memory(999_900), memory(640)
        ('1.25 GB', '128 kB', '1 MB', '640 B')
    """
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= least - least // 2000:  # less is at most 999 of the next smaller unit
            value = size / least
            return f"{value:.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    return f"{size} B"


def _fields(content: DataContent) -> Iterable[tuple[FieldStatistics, CategoricalColumn]]:
    return zip(content.statistics.fields, content.preprocessing.categorical, strict=True)


def _rows(field: FieldStatistics, count: int, cap: int | None) -> int:
    rows = max(2, at_least(field, count) + 1)
    return rows if cap is None else min(rows, cap)


def _kind(column: CategoricalColumn) -> str:
    kind = column.kind if column.compositional is None else f"{column.kind}, compositional"
    return kind if column.max_values is None else f"{kind}, {column.pooling} of up to {column.max_values} values"


def _transform(column: DenseColumn) -> str:
    name: str = column.transform
    if name == "standardise":
        name = f"standardise, ({'x' if not column.mean else f'x - {column.mean:.4g}'}) / {column.std:.4g}"
    return f"{name}, and a column that says whether it is missing" if column.flag_missing else name


def _card(field: FieldStatistics) -> str:
    most = max((part for _, part in field.top), default=1.0)
    lines = "".join(
        f'<li style="--share:{100 * part / most:.1f}%" title="{escape(text)}">'
        f"<span>{escape(_cut(text, _LONGEST))}</span><b>{escape(share(part))}</b></li>"
        for text, part in field.top
    )
    shown = sum(part for _, part in field.top)
    if field.categories > len(field.top):
        others = field.categories - len(field.top)
        rest = f"{others:,} other{'' if others == 1 else 's'}: {escape(share(max(0.0, 1 - shown)))}"
    else:
        rest = "no others" if field.top else "no value at all"
    return f"<div><h3>{escape(field.name)}</h3><ol>{lines}</ol><p>{rest}</p></div>"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
