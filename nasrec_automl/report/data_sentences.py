"""What a data report says in words. Plain text: whoever renders it escapes it."""

from __future__ import annotations

from collections.abc import Iterator

from nasrec_automl.data.parts import VALIDATION, Part
from nasrec_automl.data.values import percent
from nasrec_automl.report.data_content import EMBEDDING_DIM, DataContent, table_bytes
from nasrec_automl.report.data_tables import memory, part_error, share
from nasrec_automl.report.sentences import count

_ERRORS = 4  # so far apart, rates of independent rows differ not by chance
_MOSTLY = 0.5
_MORE_UNKNOWN = 0.05
_ENOUGH, _ALONE = 1000, 0.9
_NAMED = 8


def data_headline(content: DataContent) -> str:
    """What the data set is, in one sentence."""
    fields, dense = len(content.description.fields), len(content.statistics.dense)
    positive = f"{percent(content.positive_rate, 2)} of them positive ({content.description.label})"
    columns = f"{count(fields, 'categorical field')} and {count(dense, 'number column')}"
    return f"{content.rows:,} rows, {positive}, with {columns}."


def things_to_look_at(content: DataContent) -> list[str]:
    """What may be wrong with the data, or will matter to a model; one statement each."""
    found = [*_about_parts(content), *_about_fields(content), *_about_dense(content)]
    rates = "" if content.description.parts[Part.TRAIN].weight is not None else "parts have alike positive rates, and "
    return found or [f"Nothing stands out: {rates}no column is empty or always the same."]


def memory_formula(content: DataContent) -> str:
    """How the memory of tables is calculated, and what it is as prepared."""
    rows = content.preprocessing.schema(EMBEDDING_DIM).table_rows
    return (
        f"Calculated: rows times {EMBEDDING_DIM} (embedding width) times 4 bytes times 2 (the weights, and Adagrad's "
        f"sum of squares); each table has a row for missing and unknown values. As prepared: {rows:,} rows, "
        f"{memory(table_bytes(rows))}. min_count is how often a category must occur in training for a row of its own; "
        "a field with more rows than the cap is hashed, or keeps its most frequent categories."
    )


def _about_parts(content: DataContent) -> Iterator[str]:
    parts = content.description.parts
    train, far = parts[Part.TRAIN], []
    for part, described in parts.items():
        if described.weight is not None:
            break  # a few heavy rows may be most of a rate, and the error of such a rate is not kept
        error = (part_error(content, part) ** 2 + part_error(content, Part.TRAIN) ** 2) ** 0.5
        if error and abs(described.positive_rate - train.positive_rate) > _ERRORS * error:
            far.append(f"{part.value} {percent(described.positive_rate, 2)}")
    if far:
        yield (
            f"Positive rates differ by more than {_ERRORS} standard errors of independent rows from that of train "
            f"({percent(train.positive_rate, 2)}): {', '.join(far)}. "
            + (
                "Parts of different times do; a model trained on the old rows will be off by as much."
                if content.description.split.kind == "time"
                else "Rows that belong together, as those of a day or a user, and are kept in one part do; else look "
                "for a reason in how the rows were divided."
            )
        )
    if content.description.appended:
        yield (
            f"Rows were appended {count(content.description.appended, 'time')}: tables and transforms are those of "
            f"the first {content.statistics.rows:,} training rows."
        )
    rejected = int(content.description.notes.get("rows_rejected", 0))
    if rejected:
        read = int(content.description.notes.get("rows_read", 0))
        why = "; why is below" if content.rejected else ""
        yield f"{rejected:,} of {read:,} rows read were bad and are left out{why}."


def _about_fields(content: DataContent) -> Iterator[str]:
    same = [field.name for field in content.statistics.fields if field.categories == 1 and field.missing == 0]
    empty = [field.name for field in content.statistics.fields if not field.categories]
    if same or empty:
        yield f"Say nothing in training, with a single value or none: {_names([*same, *empty])}. Leave them out."
    rare = [field.name for field in content.statistics.fields if _MOSTLY < field.missing < 1]
    if rare:
        yield f"Missing in more than half of the training rows: {_names(rare)}."
    later = []
    for field in content.statistics.fields:
        before, after = content.unknown_share(field.name, (Part.TRAIN,)), content.unknown_share(field.name, VALIDATION)
        if after - before > _MORE_UNKNOWN:
            later.append(f"{field.name} ({share(after)} against {share(before)})")
    if later:
        yield (
            f"Unknown in validation more often than in training: {_names(later)}. Rare or new categories: what a model "
            "learns of them in training helps it less than its training loss says. A higher min_count makes both alike."
        )
    alone = [
        field.name
        for field in content.statistics.fields
        if field.values > _ENOUGH and field.categories > _ALONE * field.values
    ]
    if alone:
        yield (
            f"Almost every value in training is a category of its own: {_names(alone)}. Such ids say nothing of other "
            "rows; leave them out, or raise min_count."
        )


def _about_dense(content: DataContent) -> Iterator[str]:
    # Where some are missing, a transform that does not centre, or flag_missing, still tells which.
    useless = [each.name for each in content.statistics.dense if each.low == each.high and each.missing in (0, 1)]
    if useless:
        yield f"Number columns with a single value or none in training: {_names(useless)}. Leave them out."
    missing = [each.name for each in content.statistics.dense if _MOSTLY < each.missing < 1]
    if missing:
        flags = {column.name for column in content.preprocessing.dense if column.flag_missing}
        unflagged = [name for name in missing if name not in flags]
        yield (
            f"Numbers missing in more than half of the training rows: {_names(missing)}."
            + (" In the schema of a table, flag_missing would tell a model where." if unflagged else "")
        )
    negative = [
        each.name
        for each, column in zip(content.statistics.dense, content.preprocessing.dense, strict=True)
        if column.transform == "log" and each.high is not None and each.high <= 0 and each.low != each.high
    ]
    if negative:
        yield f"log makes 0 of every value, since none is positive: {_names(negative)}. Take another transform."


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
