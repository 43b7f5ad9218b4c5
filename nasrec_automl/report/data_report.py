"""The report of a prepared data set as one HTML file."""

from __future__ import annotations

from html import escape

from nasrec_automl.data.parts import Part
from nasrec_automl.data.values import percent
from nasrec_automl.report.data_content import EMBEDDING_DIM, DataContent, table_bytes
from nasrec_automl.report.data_figures import positive_rate_over_time, sizes_of_fields
from nasrec_automl.report.data_sentences import data_headline, memory_formula, things_to_look_at
from nasrec_automl.report.data_tables import (
    dense_table,
    fields_table,
    memory,
    memory_table,
    parts_table,
    rejected_table,
    top_values,
    vocabulary_table,
)
from nasrec_automl.report.page import bullets, figure_html, page, section
from nasrec_automl.report.sentences import count
from nasrec_automl.report.tables import fact_table, short, tiles


def render_data_report(content: DataContent) -> str:
    """The report's HTML. Equal contents give equal text."""
    description = content.description
    split = f"{description.split.kind} split, seed {description.split.seed}"
    body = [
        f"<h1>{escape(description.name)}</h1>",
        f'<p class="subtitle">prepared data · {escape(split)} · fingerprint {description.fingerprint[:12]}</p>',
        f'<p class="lead">{escape(data_headline(content))}</p>',
        tiles(
            [
                ("rows", short(content.rows)),
                ("positive", percent(content.positive_rate, 2)),
                ("categories in training", short(sum(field.categories for field in content.statistics.fields))),
                ("embedding tables in training", memory(table_bytes(_table_rows(content)))),
            ]
        ),
        section("What to look at", bullets(things_to_look_at(content))),
        section("Parts", _parts(content)),
        section("Categorical fields", _fields(content)),
        section("Memory of the tables", _memory(content)),
        section("Top values", _top(content)),
    ]
    if content.statistics.dense:
        body.append(section("Number columns", dense_table(content)))
    if content.rejected:
        body.append(section("Rejected rows", rejected_table(content)))
    body.append(section("How it was prepared", fact_table(_facts(content))))
    return page(f"{description.name}: data", body)


def _parts(content: DataContent) -> str:
    weighted = content.description.parts[Part.TRAIN].weight is not None
    figure = figure_html(
        "positive-rate",
        positive_rate_over_time(content.statistics.periods),
        "Positive rate over time with its standard error, and rows by part, as they were divided when they were "
        "prepared or appended" + ("; weights do not count here. " if weighted else ". ") + "Bins are joined where a "
        "part has few rows.",
    )
    note = "Standard errors are those of rows that weigh alike; unequal weights make them larger."
    return parts_table(content) + (f'<p class="note">{note}</p>' if weighted else "") + figure


def _fields(content: DataContent) -> str:
    explained = (
        "Unknown is a row without a value that the table knows (id 0): missing, too rare for a row of its own, or "
        "never seen in training. Categories and missing values are those of the rows that tables were learned of."
    )
    figure = figure_html(
        "sizes",
        sizes_of_fields(
            content.statistics.fields, [sum(column.field().tables) for column in content.preprocessing.categorical]
        ),
        "Categories of each field in training. Those seen once teach little and take a row each.",
    )
    return f'<p class="note">{explained}</p>{fields_table(content)}{figure}'


def _memory(content: DataContent) -> str:
    return (
        f'<p class="note">{escape(memory_formula(content))}</p>{memory_table(content.statistics.fields)}'
        f"<h3>Rows of each field's vocabulary</h3>{vocabulary_table(content.statistics.fields)}"
    )


def _top(content: DataContent) -> str:
    return f'<p class="note">Shares are of the values in training.</p>{top_values(content.statistics.fields)}'


def _facts(content: DataContent) -> dict[str, str]:
    description = content.description
    numbers, columns = count(max(1, len(description.dense)), "number"), sum(f.columns for f in description.fields)
    shards = sum(len(part.shards) for part in description.parts.values())
    return {
        "label": description.label,
        "a row": f"{numbers} (float32) and {count(columns, 'id')} ({description.ids_type})",
        "on disk": f"{memory(content.size)} in {count(shards, 'shard')}",
        "appended": count(description.appended, "time"),
        "fingerprint": description.fingerprint,
        **{name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in description.notes.items()},
    }


def _table_rows(content: DataContent) -> int:
    return content.preprocessing.schema(EMBEDDING_DIM).table_rows
