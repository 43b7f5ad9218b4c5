"""A first draft of a table's schema, made of a file's first rows. It guesses; every guess says why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml

from nasrec_automl.data.first_rows import SEPARATOR, FirstRows, read_first_rows
from nasrec_automl.data.readers.kinds import LABEL, LABELS, NUMBER
from nasrec_automl.data.rejections import DEFAULT_LIMIT
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
_TIME_NAME = re.compile(
    r"(^|_)((time|timestamp|date|datetime|ts|day|hour)(_|$)|(at|created|updated|when)$)", re.IGNORECASE
)
_WHOLE_DATE = r"\d{4}-\d\d-\d\d(?:[T ].*)?"
# What pandas calls an index without a name in CSV, and when it reads that again, and in Parquet.
_INDEX_NAME = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_ID_NAME = re.compile(r"(^|_)(id|uuid|guid|hash|code|zip|category|type)$|Id$", re.IGNORECASE)
# A column of numbers may hold a few other texts, at most so many of the distinct ones, in no more rows than preparation
# rejects by default.
_FEW = 0.01
_COMMA_NUMBER = re.compile(r"-?\d+(?:,\d+)?", re.ASCII)
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
    labels = _labels_of(rows)
    if not labels:
        raise DataError(f"{path}: no column holds 0 and 1 alone, so none can be the label: add one{bad}")
    guesses = {
        name: _Guess("ignored", f"of type {type_}, which no role can read") for name, type_ in rows.unusable.items()
    }
    features = [name for name in rows.texts.columns if name not in labels]
    time = _time_of(rows, features)
    guesses |= {name: labels.get(name) or _guess(name, rows, is_time=name == time) for name in rows.texts.columns}
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
        yield f"separator: {_quoted(rows.separator)}  # between the fields; the file's ending does not say so"
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


def _labels_of(rows: FirstRows) -> dict[str, _Guess]:
    """Choose a column of 0 and 1: one that is named so, else one without missing values, else any.

    One that holds both comes before one that holds 0 alone: few clicks are no reason that there is none. Others that
    are named so come with it, to be left out: whether somebody bought says whether they clicked.
    """
    single = [name for name in rows.texts.columns if name not in rows.most and name not in rows.moments]
    columns = {name: rows.texts[name] for name in single}
    candidates = [name for name, column in columns.items() if column.notna().any() and _is_binary(column)]
    binary = [name for name in candidates if len({*columns[name].dropna().map(LABEL.value)}) > 1] or candidates
    named = [name for name in binary if name.lower() in _LABEL_NAMES]
    found = named or [name for name in binary if columns[name].notna().all()] or binary
    if not found:
        return {}
    others = f"; so do {', '.join(found[1:4])}" if found[1:] else ""
    how = "holds 0 and 1, and is named so" if named else f"GUESSED: holds 0 and 1{others}"
    column = columns[found[0]]
    positive = float(column.dropna().map(LABEL.value).mean())
    label = _Guess("label", f"{how}; positive in {positive:.1%} of the rows{_without(column)}")
    leak = _Guess("ignored", f"0 and 1, and named as labels are: it may give {found[0]} away")
    leaks = [name for name in candidates if name.lower() in _LABEL_NAMES and name != found[0]]
    return {found[0]: label} | dict.fromkeys(leaks, leak)


def _is_binary(column: pd.Series[str]) -> bool:
    return set(column.dropna().unique()) <= LABELS.keys()


def _without(column: pd.Series[str]) -> str:
    """Say how many rows lack what each must have."""
    missing = int(column.isna().sum())
    return f"; MISSING in {missing:,} of {len(column):,} rows, which preparation rejects" if missing else ""


def _time_of(rows: FirstRows, names: Sequence[str]) -> str | None:
    """Choose a column that says when a row happened.

    Dates that are of their type or named so say it better than numbers that are named so, as a day of the month is.
    Other texts that are dates, as birthdays are, come last, and where each row has one.
    """
    known = {name: rows.texts[name].dropna() for name in names if name not in rows.most}
    known = {name: column for name, column in known.items() if column.nunique() > 1}
    named = [name for name in known if _TIME_NAME.search(name)]
    numbers = [name for name in named if _numbers(known[name]) is not None]
    kinds = (
        (name for name in known if name in rows.moments or (name in named and _is_dates(known[name]))),
        (name for name in numbers if known[name].nunique() > _DAYS),
        (name for name in known if rows.texts[name].notna().all() and _is_dates(known[name], whole=True)),
    )
    return next((name for of_kind in kinds for name in of_kind), None)


def _guess(name: str, rows: FirstRows, *, is_time: bool) -> _Guess:
    """Guess the role of a column that is not the label.

    Args:
        name: of the column.
        rows: the file's first rows.
        is_time: whether it says when a row happened.
    """
    column = rows.texts[name]
    known = column.dropna()
    distinct = known.nunique()
    if distinct <= 1 and not (len(known) < len(column) and distinct):
        return _Guess("ignored", "always the same" if len(known) else "always missing")
    if name in rows.most:
        most = rows.most[name]
        return _Guess("categorical", f"lists, the longest of {most}", f"{{max_values: {max(2, most)}}}")
    if is_time:
        return _guess_time(name, rows)
    if name in rows.moments:
        return _Guess("ignored", "dates, which are no feature, and not taken for the time")
    numbers = _numbers(known)
    if numbers is None:
        return _guess_text(known, len(column))
    guess, others = _guess_number(name, numbers, len(column)), _others(column, numbers)
    if others.empty or guess.role == "ignored":
        return guess
    if guess.role == "dense" and len(others) <= DEFAULT_LIMIT * len(column):
        return replace(guess, why=f"{guess.why}{_no_numbers(column, others)}, which preparation rejects")
    text = _guess_text(known, len(column))
    as_number = f"{_no_numbers(column, others)}: empty there, it would be one of numbers"
    return replace(text, why=text.why + as_number) if guess.role == "dense" else text


def _guess_time(name: str, rows: FirstRows) -> _Guess:
    column = rows.texts[name]
    if name in rows.moments:
        return _Guess("timestamp", f"of a type of dates{_without(column)}", "ISO8601")
    numbers = _numbers(column.dropna())
    if numbers is not None:
        others = _others(column, numbers)
        bad = "" if others.empty else f"{_no_numbers(column, others)}, which preparation rejects"
        return _Guess("timestamp", f"named like a time, and numbers{_without(column)}{bad}", "number")
    how = "named like a time, and dates" if _TIME_NAME.search(name) else "GUESSED: each row has a date"
    return _Guess("timestamp", f"{how}{_without(column)}", "ISO8601")


def _guess_text(known: pd.Series[str], rows: int) -> _Guess:
    distinct = known.nunique()
    most = int(known.str.count(re.escape(SEPARATOR)).max()) + 1
    if known.str.contains(SEPARATOR, regex=False).mean() >= _OFTEN:
        why = f"texts with {SEPARATOR} between values, {most} at most"
        return _Guess("categorical", why, f"{{max_values: {most}}}")
    commas = sum(not _COMMA_NUMBER.fullmatch(text.strip()) for text in known.unique()) <= _FEW * distinct
    written = "; decimal commas: with points, 3.14, they are numbers" if commas else ""
    if distinct == rows and rows > _MANY:
        return _Guess("ignored", f"text, different in each row: says nothing of other rows{written}")
    return _Guess("categorical", f"text, {distinct:,} different{written}")


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
    """Return the number of each distinct text that is one, in the order that they come in; None where many are none."""
    texts = known.unique()
    numbers: dict[str, float] = {}
    others = 0
    for text in texts:
        try:
            numbers[text] = NUMBER.value(text.strip())
        except ValueError:
            others += 1
            if others > _FEW * len(texts):
                return None
    return pd.Series(numbers, dtype=float)


def _others(column: pd.Series[str], numbers: pd.Series[float]) -> pd.Series[str]:
    """The cells that hold something else than the numbers."""
    return column[column.notna() & ~column.isin(numbers.index)]


def _no_numbers(column: pd.Series[str], others: pd.Series[str]) -> str:
    return f"; NO NUMBER in {len(others):,} of {len(column):,} rows, such as {others.iloc[0][:40]!r}"


def _is_dates(known: pd.Series[str], *, whole: bool = False) -> bool:
    """Say whether texts are dates, and no numbers; `whole` leaves 2024-05 out, which may be a code."""
    if (whole and not known.str.fullmatch(_WHOLE_DATE).all()) or _numbers(known) is not None:
        return False
    return bool(pd.to_datetime(known, format="ISO8601", utc=True, errors="coerce").notna().all())
