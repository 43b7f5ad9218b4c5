"""A first draft of a table's schema, made of a file's first rows. It guesses; every guess says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml

from nasrec_automl.data.first_rows import SEPARATOR, FirstRows, read_first_rows
from nasrec_automl.data.readers.kinds import LABEL, LABELS, NUMBER
from nasrec_automl.errors import DataError

_LABEL_NAMES = (
    "label",
    "click",
    "clicked",
    "is_click",
    "target",
    "y",
    "conversion",
    "converted",
    "purchase",
    "purchased",
)
_TIME_NAME = re.compile(r"(^|_)(time|timestamp|date|datetime|ts|day|hour)(_|$)|_at$", re.IGNORECASE)
# What pandas calls an index without a name in CSV, and when it reads that again, and in Parquet.
_INDEX_NAME = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_ID_NAME = re.compile(r"(^|_)(id|uuid|guid|hash|code|zip|category|type)$|Id$", re.IGNORECASE)
# Of a multi-valued column, at least so many of the texts have several values.
_OFTEN = 0.1
# Of more different numbers, the order is likely to mean something.
_MANY = 30
# A day of the month has so many numbers, and is no time.
_DAYS = 31

Role = Literal["label", "timestamp", "dense", "categorical", "ignored"]


@dataclass(frozen=True)
class _Guess:
    role: Role
    why: str
    options: str = ""


def infer_schema(path: Path) -> str:
    """Draft the schema of a file: YAML with the reason for each role in a comment.

    Args:
        path: CSV or TSV with a header, compressed or not, or Parquet.

    Raises:
        DataError: the file cannot be read, has no header or no rows, or has no column that could be the label or none
            that could be a category.
    """
    rows = read_first_rows(path)
    bad = f". {rows.bad_rows}" if rows.bad_rows else ""
    if not rows.rejections.accepted:
        raise DataError(f"{path}: there are no rows to look at: correct the file, or take another{bad}")
    label = _label_of(rows)
    if label is None:
        raise DataError(f"{path}: no column holds 0 and 1 alone, so none can be the label: add one{bad}")
    guesses = {
        name: _Guess("ignored", f"of type {type_}, which no role can read") for name, type_ in rows.unusable.items()
    }
    dated = any(_is_dated(name, rows) for name in rows.texts.columns if name != label[0])
    for name in rows.texts.columns:
        timed = any(guess.role == "timestamp" for guess in guesses.values())
        guesses[name] = label[1] if name == label[0] else _guess(name, rows, timed=timed, dated=dated)
    if not any(guess.role == "categorical" for guess in guesses.values()):
        raise DataError(
            f"{path}: no column looks like a category, but a model needs one; write the schema by hand{bad}"
        )
    return "\n".join(_in_line(line) for line in _lines(path, rows, guesses)) + "\n"


def _in_line(text: str) -> str:
    """Escape what would end a line of YAML, such as a newline in a column's name that a comment repeats."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _lines(path: Path, rows: FirstRows, guesses: dict[str, _Guess]) -> Iterator[str]:
    of = {role: {n: g for n, g in guesses.items() if g.role == role} for role in ("label", "timestamp", "ignored")}
    yield (
        f"# Drafted from the first {len(rows.texts):,} rows of {path.name}. "
        "Check each role; the comments say why it was chosen."
    )
    if rows.bad_rows:
        yield f"# {rows.bad_rows}"
    if rows.separator is not None:
        yield f"separator: {_quoted(rows.separator)}  # between the fields; the file's ending says another"
    for name, guess in of["label"].items():
        yield f"label: {_quoted(name)}  # {guess.why}"
    for name, guess in of["timestamp"].items():
        yield f"timestamp: {{column: {_quoted(name)}, format: {_quoted(guess.options)}}}  # {guess.why}"
    for role, what in (
        ("dense", "log, standardise, quantile or none"),
        ("categorical", "kind, min_count, max_values, ..."),
    ):
        chosen = {name: guess for name, guess in guesses.items() if guess.role == role}
        if chosen:
            yield f"{role}:  # {what}"
        for name, guess in chosen.items():
            yield f"  {_quoted(name)}: {guess.options}  # {guess.why}"
    if of["ignored"]:
        yield "ignored:"
    for name, guess in of["ignored"].items():
        yield f"  - {_quoted(name)}  # {guess.why}"


def _quoted(text: str) -> str:
    """Write a name so that YAML reads it as text, on one line."""
    return yaml.safe_dump(text, default_style='"', width=10**6).strip() if not text.isidentifier() or (
        yaml.safe_load(text) != text
    ) else text  # fmt: skip


def _label_of(rows: FirstRows) -> tuple[str, _Guess] | None:
    """Choose a column of 0 and 1: one that is named so, else one without missing values, else any.

    One that holds both comes before one that holds 0 alone: few clicks are no reason that there is none.
    """
    single = [name for name in rows.texts.columns if name not in rows.most and name not in rows.moments]
    columns = {name: rows.texts[name] for name in single}
    binary = [name for name, column in columns.items() if column.notna().any() and _is_binary(column)]
    binary = [name for name in binary if len({*columns[name].dropna().map(LABEL.value)}) > 1] or binary
    named = [name for name in binary if name.lower() in _LABEL_NAMES]
    found = named or [name for name in binary if columns[name].notna().all()] or binary
    if not found:
        return None
    others = f"; so do {', '.join(found[1:4])}" if found[1:] else ""
    how = "holds 0 and 1, and is named so" if named else f"GUESSED: holds 0 and 1{others}"
    column = columns[found[0]]
    positive = float(column.dropna().map(LABEL.value).mean())
    return found[0], _Guess("label", f"{how}; positive in {positive:.1%} of the rows{_without(column)}")


def _is_binary(column: pd.Series[str]) -> bool:
    return set(column.dropna().unique()) <= LABELS.keys()


def _without(column: pd.Series[str]) -> str:
    """Say how many rows lack what each must have."""
    missing = int(column.isna().sum())
    return f"; MISSING in {missing:,} of {len(column):,} rows, which preparation rejects" if missing else ""


def _is_dated(name: str, rows: FirstRows) -> bool:
    """Whether a column holds dates, which say the time better than numbers of any other do."""
    if name in rows.moments:
        return True
    known = rows.texts[name].dropna()
    return bool(_TIME_NAME.search(name)) and len(known) > 0 and _numbers(known) is None and _are_moments(known)


def _guess(name: str, rows: FirstRows, *, timed: bool, dated: bool) -> _Guess:
    """Guess the role of a column that is not the label.

    Args:
        name: of the column.
        rows: the file's first rows.
        timed: whether another column is the timestamp.
        dated: whether some column holds dates.
    """
    column = rows.texts[name]
    known = column.dropna()
    distinct = known.nunique()
    if distinct <= 1 and not (len(known) < len(column) and distinct):
        return _Guess("ignored", "always the same" if len(known) else "always missing")
    if name in rows.most:
        most = rows.most[name]
        return _Guess("categorical", f"lists, the longest of {most}", f"{{max_values: {max(2, most)}}}")
    if name in rows.moments:
        if timed:
            return _Guess("ignored", "dates, which are no feature, and another column is the time")
        return _Guess("timestamp", f"of a type of dates{_without(column)}", "ISO8601")
    numbers = _numbers(known)
    if _TIME_NAME.search(name) and not timed:
        if numbers is not None and distinct > _DAYS and not dated:
            return _Guess("timestamp", f"named like a time, and numbers{_without(column)}", "number")
        if numbers is None and _are_moments(known):
            return _Guess("timestamp", f"named like a time, and dates{_without(column)}", "ISO8601")
    return _guess_text(known, len(column)) if numbers is None else _guess_number(name, numbers, len(column))


def _guess_text(known: pd.Series[str], rows: int) -> _Guess:
    distinct = known.nunique()
    most = int(known.str.count(re.escape(SEPARATOR)).max()) + 1
    if known.str.contains(SEPARATOR, regex=False).mean() >= _OFTEN:
        why = f"texts with {SEPARATOR} between values, {most} at most"
        return _Guess("categorical", why, f"{{max_values: {most}}}")
    if distinct == rows and rows > _MANY:
        return _Guess("ignored", "text, different in each row: says nothing of other rows")
    return _Guess("categorical", f"text, {distinct:,} different")


def _guess_number(name: str, numbers: pd.Series[float], rows: int) -> _Guess:
    """Guess the role of a column by its distinct numbers, in the order that they come in."""
    distinct = len(numbers)
    shown = f"{distinct:,} different"
    whole = bool((numbers % 1 == 0).all())
    counts_rows = name == "index" and distinct == rows and numbers.is_monotonic_increasing
    if whole and (counts_rows or _INDEX_NAME.fullmatch(name)):
        # Of rows sorted by their label it would give the label away.
        return _Guess("ignored", "whole numbers, named as pandas names a row's place in the file")
    if whole and distinct == rows and rows > _MANY and _ID_NAME.search(name):
        return _Guess("ignored", "an id, different in each row: says nothing of other rows")
    if whole and _ID_NAME.search(name):
        return _Guess("categorical", f"whole numbers, {shown}, named like an id")
    if whole and distinct <= _MANY:
        return _Guess("categorical", f"whole numbers, only {shown}")
    if bool((numbers >= 0).all()) and float(numbers.max()) > 20:
        return _Guess("dense", f"numbers from {numbers.min():g} to {numbers.max():g}, {shown}", "log")
    return _Guess("dense", f"numbers from {numbers.min():g} to {numbers.max():g}, {shown}", "standardise")


def _numbers(known: pd.Series[str]) -> pd.Series[float] | None:
    """Return the number of each distinct text, in the order that they come in; None where one is no number."""
    try:
        return pd.Series([NUMBER.value(text.strip()) for text in known.unique()], dtype=float)
    except ValueError:
        return None


def _are_moments(known: pd.Series[str]) -> bool:
    moments = pd.to_datetime(known, format="ISO8601", utc=True, errors="coerce")
    return bool(moments.notna().all())
