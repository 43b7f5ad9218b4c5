"""What stands between the values of a cell, where it is not what a schema takes by default."""

from __future__ import annotations

import pandas as pd

from nasrec_automl.data.guess import WRITTEN_NUMBER
from nasrec_automl.data.guess_time import LIKE_DATES

LIKE_LISTS = r"\s*(\[.*\]|\{.*\})\s*"
"""Lists as Python, JSON and PostgreSQL write them: brackets and quotes would be parts of their values."""

# What may stand between values beside `|`, but stands in plain texts too. Of several values there are at least
# so many distinct texts for each distinct value, and in these texts each is there so often.
_OTHER_SEPARATORS = (";", ",", " ")
_TEXTS_A_VALUE, _REPEATED = 4, 20


def other_separator(known: pd.Series[str]) -> str | None:
    """Return what stands between the values of a multi-valued column, whose texts are made of few values; else None."""
    texts = known.drop_duplicates()
    if texts.str.fullmatch(LIKE_LISTS).mean() > 0.5:
        return None
    for separator in _OTHER_SEPARATORS:
        if texts.str.contains(separator, regex=False).mean() < 0.5:
            continue
        values = texts.str.split(separator, regex=False).explode().str.strip()
        values = values[values != ""]
        distinct = values.nunique()
        # A number with a comma is one value, and so are a day and its hour.
        one = WRITTEN_NUMBER if separator != " " else LIKE_DATES
        single = texts.str.strip().str.fullmatch(one).mean() > 0.5
        if not single and 0 < _TEXTS_A_VALUE * distinct <= len(texts) and _REPEATED * distinct <= len(values):
            return separator
    return None
