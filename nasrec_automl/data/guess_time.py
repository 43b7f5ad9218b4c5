"""Which column of a table says when a row happened, and in which format."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from nasrec_automl.data.columns import LAST_SECOND, DerivedColumn
from nasrec_automl.data.first_rows import FirstRows
from nasrec_automl.data.guess import Guess, joined, no_numbers, numbers_of, others_of, quoted, shown, without
from nasrec_automl.data.moments import parsed

_TIME_NAME = re.compile(
    r"(^|_)((time|timestamp|date|datetime|ts|day|hour)(_|$)|(at|created|updated|when)$)", re.IGNORECASE
)
# What is known of somebody or something, and says nothing of when a row happened.
_NO_TIME_NAME = re.compile(r"birth|born|dob|release|expir", re.IGNORECASE)
_WHOLE_DATE = r"\d{4}-\d\d-\d\d(?:[T ].*)?"
# Three pieces with something between, of which one may be a month's name.
LIKE_DATES = r"(?:[A-Za-z]+,? )?(?:\d{1,4}[./ -](?:\d{1,2}|[A-Za-z]{3,9})[./ -]|\d{1,2},? )\d{1,4}(?:\b|T).*"
# A day of the month has so many numbers, and is no time.
_DAYS = 31
_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y")
# YYYYMMDD, YYYYMMDDHH, YYMMDDHH and YYMMDD of our time.
_DIGITS = ((19_850_101, 21_000_101), (1_985_010_100, 2_100_010_100), (5_010_100, 60_010_100), (50_101, 600_101))
OTHER_DATES = "dates, which are no feature, and not taken for the time"
"""The comment beside dates of which nothing else is known."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


def time_of(rows: FirstRows, names: Sequence[str]) -> str | None:
    """Choose a column that says when a row happened.

    It is of the first of these kinds that there is; of the columns of one kind it is the one that the fewest rows lack:

    1. a column of a type of dates, or of dates that is named like a time, or of numbers that is named so and looks like
       moments;
    2. other numbers that are named so;
    3. other dates, if each row has one; they may be birthdays.

    Numbers are no time if they are not more than a month has days.
    """
    known = {name: rows.texts[name].dropna() for name in names if name not in rows.most}
    known = {name: column for name, column in known.items() if column.nunique() > 1}
    named = [name for name in known if _is_named(name)]
    found = {name: of_it for name in named if (of_it := numbers_of(known[name])) is not None}
    found = {name: numbers for name, numbers in found.items() if known[name].nunique() > _DAYS}
    dates = [name for name in known if name in rows.moments or (name in named and len(_formats(known[name])) == 1)]
    moments = [name for name in found if _are_moments(found[name])]  # durations are named like times too
    for of_kind in ((*dates, *moments), found):
        if of_kind:
            return max(of_kind, key=lambda name: len(known[name]))
    others = (name for name in known if rows.texts[name].notna().all() and _is_dates(known[name], whole=True))
    return next(others, None)


def guess_time(name: str, rows: FirstRows) -> Guess:
    """Say how the column that `time_of` chose is read."""
    column = rows.texts[name]
    if name in rows.moments:
        return Guess("timestamp", f"of a type of dates{without(column)}", "ISO8601")
    known = column.dropna()
    numbers = numbers_of(known)
    if numbers is not None:
        others = others_of(column, numbers)
        bad = "" if others.empty else f"{no_numbers(column, others)}, which preparation rejects"
        how = "named like a time, and numbers"
        if not _are_moments(numbers):
            how = f"GUESSED: {how}, if they are no durations"
        return Guess("timestamp", f"{how}{without(column)}{bad}", "number")
    how = "named like a time, and dates" if _is_named(name) else "GUESSED: each row has a date"
    return Guess("timestamp", f"{how}{without(column)}", _formats(known)[0])


def parts_of_time(name: str, rows: FirstRows, form: str) -> list[DerivedColumn]:
    """Name what to derive of the column that `time_of` chose: the hour and the weekday, as far as they differ.

    Args:
        name: of the column.
        rows: the file's first rows.
        form: its format.
    """
    known = rows.texts[name].dropna()
    numbers = numbers_of(known) if form == "number" else None
    if numbers is not None:
        if not 5e8 <= numbers.median() < _DIGITS[1][0]:  # seconds of 1985 to 2032
            return []
        numbers = numbers[numbers.abs() <= LAST_SECOND]  # preparation rejects others
    made = {
        kind: DerivedColumn(name=f"{name}_{kind}", source=name, kind=kind, format=form) for kind in ("hour", "weekday")
    }
    values = {kind: column.apply(known if numbers is None else numbers) for kind, column in made.items()}
    of_clocks = {"hour": bool(values["hour"].any()), "weekday": True}
    return [
        column
        for kind, column in made.items()
        if column.name not in rows.texts
        and (len({*values[kind].tolist()}) > 1 or (of_clocks[kind] and not rows.all_read))
    ]


def hint_of_time(name: str, known: pd.Series[str]) -> str:
    """Say why a column of dates, or one that is named like a time, is not taken for the time, and what to do.

    Args:
        name: of the column.
        known: its cells that are not missing.

    Returns:
        What the comment says; empty of other columns, and of one that holds a single text.
    """
    if known.nunique() == 1 or numbers_of(known) is not None:
        return ""
    if not _is_named(name):
        return OTHER_DATES if _is_dates(known, whole=True) else ""
    formats = _formats(known)
    start = f"such as {shown(known.iloc[0])}; for the time, write timestamp: {{column: {quoted(name)}, format: "
    if len(formats) > 1:
        return f"named like a time, but day or month may come first, {start}{' or '.join(map(quoted, formats))}}}"
    if formats:
        return "named like a time, and dates, which are no feature; another column is taken for the time"
    like_dates = known.str.fullmatch(LIKE_DATES)
    if like_dates.mean() < 0.5:
        return ""
    if not like_dates.all():
        return (
            f"named like a time, but some are no dates, such as {shown(known[~like_dates].iloc[0])}: correct the file"
        )
    return (
        f"named like a time, but neither numbers nor ISO8601, {start}...}} with its format of strptime, such as "
        f"{quoted('%d.%m.%Y %H:%M')}, if all have one format"
    )


def _is_named(name: str) -> bool:
    """Say whether a column is named like a time, in whatever way its words are joined: `event_time`, `eventTime`."""
    words = joined(name)
    return _TIME_NAME.search(words) is not None and _NO_TIME_NAME.search(words) is None


def _are_moments(numbers: pd.Series[float]) -> bool:
    """Say whether numbers may be seconds since 1970, or finer, of our time, or the digits of dates."""
    middle = float(numbers.median())
    seconds = any(5e8 <= middle / finer < 5e9 for finer in (1, 1e3, 1e6, 1e9))  # 1985 to 2128
    return seconds or any(low <= middle < high for low, high in _DIGITS)


def _formats(known: pd.Series[str]) -> list[str]:
    """Return the formats that read each of some texts: more than one where day and month may be swapped."""
    if numbers_of(known) is not None:
        return []
    if _is_dates(known):
        return ["ISO8601"]
    texts = known.drop_duplicates()
    formats = [date + clock for date in _DATES for clock in _CLOCKS]
    return [form for form in formats if _reads(form, texts.iloc[:1]) and _reads(form, texts)]


def _reads(form: str, texts: pd.Series[str]) -> bool:
    return bool(parsed(texts, form).notna().all())


def _is_dates(known: pd.Series[str], *, whole: bool = False) -> bool:
    """Say whether texts are dates of ISO 8601, and no numbers; `whole` leaves 2024-05 out, which may be a code."""
    if (whole and not known.str.fullmatch(_WHOLE_DATE).all()) or numbers_of(known) is not None:
        return False
    return _reads("ISO8601", known)
