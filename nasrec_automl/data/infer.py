"""A first draft of a table's schema, made of a file's first rows. It guesses; every guess says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.readers.inputs import read_blocks
from nasrec_automl.data.readers.kinds import LABEL, LABELS, NUMBER, TEXT, Column
from nasrec_automl.data.readers.table import is_parquet, separator_of
from nasrec_automl.data.readers.text import Layout, check_names, read_text, split_header
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.values import MISSING_TEXTS
from nasrec_automl.errors import DataError

_ROWS = 100_000
_SEPARATOR: str = CategoryFormat().separator
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
_ID_NAME = re.compile(r"(^|_)(id|uuid|guid|hash|code|zip|category|type)$|Id$", re.IGNORECASE)
# Of a multi-valued column, at least so many of the texts have several values.
_OFTEN = 0.1
# Of more different numbers, the order is likely to mean something.
_MANY = 30

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
        DataError: the file cannot be read, or has no column that could be the label or none that could be a category.
    """
    rows = _first_rows(path)
    if not len(rows):
        raise DataError(f"{path}: there are no rows to look at")
    label = _label_of(rows, path)
    guesses: dict[str, _Guess] = {}
    for name in rows.columns:
        guess = _guess(str(name), rows[name], taken=any(g.role == "timestamp" for g in guesses.values()))
        guesses[str(name)] = _Guess("label", label[1]) if name == label[0] else guess
    if not any(guess.role == "categorical" for guess in guesses.values()):
        raise DataError(f"{path}: no column looks like a category, but a model needs one; write the schema by hand")
    return "\n".join(_lines(path, len(rows), guesses)) + "\n"


def _lines(path: Path, rows: int, guesses: dict[str, _Guess]) -> Iterator[str]:
    of = {role: {n: g for n, g in guesses.items() if g.role == role} for role in ("label", "timestamp", "ignored")}
    yield f"# Drafted from the first {rows:,} rows of {path.name}. Check each role; the comments say why it was chosen."
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


def _label_of(rows: pd.DataFrame, path: Path) -> tuple[str, str]:
    binary = [name for name in rows.columns if set(rows[name].dropna().unique()) <= LABELS.keys()]
    binary = [name for name in binary if rows[name].notna().all()]
    for name in binary:
        if str(name).lower() in _LABEL_NAMES:
            return name, f"holds 0 and 1, and is named so; positive in {_positive(rows[name]):.1%} of the rows"
    if binary:
        others = f"; so do {', '.join(binary[1:4])}" if binary[1:] else ""
        return binary[0], f"GUESSED: holds 0 and 1{others}; positive in {_positive(rows[binary[0]]):.1%} of the rows"
    raise DataError(f"{path}: no column holds 0 and 1 alone, so none can be the label: add one")


def _positive(column: pd.Series[str]) -> float:
    return float(column.map(LABEL.value).mean())


def _guess(name: str, column: pd.Series[str], *, taken: bool) -> _Guess:
    known = column.dropna()
    distinct = known.nunique()
    if distinct <= 1 and not (len(known) < len(column) and distinct):
        return _Guess("ignored", "always the same" if len(known) else "always missing")
    shown = f"{distinct:,} different"
    numbers = _numbers(known)
    if _TIME_NAME.search(name) and not taken:
        if numbers is not None and distinct > _MANY:
            return _Guess("timestamp", "named like a time, and numbers", "number")
        if numbers is None and _are_moments(known):
            return _Guess("timestamp", "named like a time, and dates", "ISO8601")
    if numbers is None:
        most = int(known.str.count(re.escape(_SEPARATOR)).max()) + 1
        if known.str.contains(_SEPARATOR, regex=False).mean() >= _OFTEN:
            return _Guess(
                "categorical", f"texts with {_SEPARATOR} between values, {most} at most", f"{{max_values: {most}}}"
            )
        if distinct == len(column) and len(column) > _MANY:
            return _Guess("ignored", "text, different in each row: says nothing of other rows")
        return _Guess("categorical", f"text, {shown}")
    whole = bool((numbers % 1 == 0).all())
    if whole and distinct == len(column) and len(column) > _MANY and _ID_NAME.search(name):
        return _Guess("ignored", "an id, different in each row: says nothing of other rows")
    if whole and _ID_NAME.search(name):
        return _Guess("categorical", f"whole numbers, {shown}, named like an id")
    if whole and distinct <= _MANY:
        return _Guess("categorical", f"whole numbers, only {shown}")
    if bool((numbers >= 0).all()) and float(numbers.max()) > 20:
        return _Guess("dense", f"numbers from {numbers.min():g} to {numbers.max():g}, {shown}", "log")
    return _Guess("dense", f"numbers from {numbers.min():g} to {numbers.max():g}, {shown}", "standardise")


def _numbers(known: pd.Series[str]) -> pd.Series[float] | None:
    try:
        return pd.Series([NUMBER.value(text.strip()) for text in known.unique()], dtype=float)
    except ValueError:
        return None


def _are_moments(known: pd.Series[str]) -> bool:
    moments = pd.to_datetime(known, format="ISO8601", utc=True, errors="coerce")
    return bool(moments.notna().all())


def _first_rows(path: Path) -> pd.DataFrame:
    """Read the first rows as texts, None where missing."""
    if is_parquet(path):
        try:
            with pq.ParquetFile(path) as file:
                batches = list(islice(file.iter_batches(_ROWS), 1))
                rows = pa.Table.from_batches(batches, file.schema_arrow)
                frame = pa.table({name: _as_text(rows[name]) for name in rows.column_names}).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Parquet ({error})") from None
        texts: pd.DataFrame = frame.astype(str)
        known: pd.DataFrame = texts.where(frame.notna() & ~texts.isin(MISSING_TEXTS))
        return known
    layout = Layout((), separator_of(path), header=True, quoting=True, missing=MISSING_TEXTS)
    head = next(read_blocks(path)).content.partition(b"\n")[0]
    names = split_header(path, head, layout)
    columns = tuple(Column(name, TEXT) for name in names)
    check_names(path, names, columns)
    layout = Layout(columns, layout.separator, header=True, quoting=True, missing=MISSING_TEXTS)
    tables, rows = [], 0
    for table in read_text(path, Rejections(limit=1.0), layout=layout):
        tables.append(table)
        rows += table.num_rows
        if rows >= _ROWS:
            break
    if not tables:
        return pd.DataFrame(columns=names)
    found: pd.DataFrame = pa.concat_tables(tables).slice(0, _ROWS).to_pandas()
    return found


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write lists as a text file would have them."""
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        return column
    return pc.binary_join(column.cast(pa.list_(pa.string())), _SEPARATOR)
