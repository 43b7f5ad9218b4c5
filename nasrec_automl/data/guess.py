"""What a draft of a schema says of a column, and why; and what all guesses share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import yaml

from nasrec_automl.data.readers.kinds import NUMBER

# A column of numbers may hold a few other texts, at most so many of the distinct ones, in no more rows than preparation
# rejects by default.
FEW = 0.01
# Of more different numbers, the order is likely to mean something.
MANY = 30
# A number as people write it: with what it is of, thousands apart, a decimal comma.
WRITTEN_NUMBER = re.compile(r"[-+]?[$€£¥]? ?(?:\d+|\d{1,3}(?:[,.' ]\d{3})+)(?:[.,]\d+)? ?[%$€£¥]?", re.ASCII)

Role = Literal["label", "weight", "split", "timestamp", "dense", "categorical", "ignored"]


@dataclass(frozen=True)
class Guess:
    """The role of a column.

    Attributes:
        role: what the schema calls it.
        why: the comment beside it.
        options: what else the schema says of it, as YAML.
    """

    role: Role
    why: str
    options: str = ""


def joined(name: str) -> str:
    """Join the words of a column's name by underscores, however they are joined.

    Example:
        >>> [joined(name) for name in ("eventTime", "event-time", "userID")]
        ['event_Time', 'event_time', 'user_ID']
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name)


def quoted(text: str) -> str:
    """Write a text so that YAML reads it as text, on one line."""
    if text.isidentifier() and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', width=10**6, allow_unicode=True).strip()


def without(column: pd.Series[str]) -> str:
    """Say in how many rows a value is missing that each row must have; empty where it never is."""
    missing = int(column.isna().sum())
    return f"; MISSING in {missing:,} of {len(column):,} rows, which preparation rejects" if missing else ""


def numbers_of(known: pd.Series[str]) -> pd.Series[float] | None:
    """Return the numbers among the distinct texts, by text, in the order that they come in; None if many are none.

    Beside many numbers one other text is allowed, however often it occurs: it may stand for a missing value.
    """
    texts = known.unique()
    most = max(FEW * len(texts), int(len(texts) > MANY))
    numbers: dict[str, float] = {}
    others = 0
    for text in texts:
        try:
            numbers[text] = NUMBER.value(text.strip())
        except ValueError:
            others += 1
            if others > most:
                return None
    return pd.Series(numbers, dtype=float)


def others_of(column: pd.Series[str], numbers: pd.Series[float]) -> pd.Series[str]:
    """Return the cells that hold something else than the numbers."""
    return column[column.notna() & column.map(numbers).isna()]


def no_numbers(column: pd.Series[str], others: pd.Series[str]) -> str:
    """Say how many rows hold something else than numbers; empty where none does."""
    if others.empty:
        return ""
    return f"; NO NUMBER in {len(others):,} of {len(column):,} rows, such as {shown(others.iloc[0])}"


def shown(text: str) -> str:
    """Quote the beginning of a cell for a comment."""
    return repr(text[:40])
