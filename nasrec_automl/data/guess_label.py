"""Which column of a table a model is to predict, by its name and by what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from nasrec_automl.data.first_rows import FirstRows
from nasrec_automl.data.guess import Guess, numbers_of, quoted, shown, without
from nasrec_automl.data.readers.kinds import LABEL, LABELS, SPACES
from nasrec_automl.data.values import percent, whole_number

_NAMES = (
    "label",
    "click",
    "clicked",
    "clicks",
    "target",
    "y",
    "conversion",
    "converted",
    "purchase",
    "purchased",
)
_ACTS = re.compile(r"click(s|ed)?|purchased?|conversion|converted", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NO = re.compile(r"(no|not|non|n|never|nein|false)([ _-].*)?", re.IGNORECASE)
# Of somebody's gender an f is no answer.
_NEGATIVE = re.compile(rf"{_NO.pattern}|f([ _-].*)?", re.IGNORECASE)


def guess_labels(rows: FirstRows, *, unlike: frozenset[str] = frozenset()) -> dict[str, Guess]:
    """Choose the label: a column of 0 and 1 that is named so, else any column that is named so, else one of 0 and 1.

    In between come columns of 0 and 1, or yes and no, with a label's word in their names, and last those of two texts.
    Of several without such a name, one without missing values comes first. One that holds both 0 and 1 comes before one
    that holds 0 alone, which may be the label all the same, since clicks are rare. Others that are named so are
    returned too, to be left out: whether somebody bought says whether they clicked.

    Args:
        rows: the file's first rows.
        unlike: columns that are taken only where no other is of 0 and 1, and never for their texts.

    Returns:
        The guesses for the label, which comes first, and for others that are named so; empty where there is none.
    """
    single = {name: rows.texts[name] for name in rows.texts.columns if not {name} & {*rows.most, *rows.moments}}
    of_codes = [name for name, column in single.items() if column.notna().any() and _is_binary(column)]
    of_codes = [name for name in of_codes if name not in unlike] or of_codes
    both = [name for name in of_codes if len({*_codes(single[name])}) > 1]
    strange = {name: _what(name, rows) for name in rows.texts.columns if _is_strange(name, rows, of_codes)}
    no_codes = sorted(
        strange.keys() & single.keys(), key=lambda name: (_two(single[name]) is None, [*single].index(name))
    )
    named = [name for name in both if _is_named(name)]
    two = [name for name in no_codes if _is_named(name) and _two(single[name]) is not None]
    worded = [name for name in both if _has_word(name) and name not in named]
    others = both or [name for name in of_codes if _has_word(name)]
    found = list(dict.fromkeys([*named, *two, *worded, *no_codes]))
    found = found or [name for name in others if single[name].notna().all()] or others
    if not found:
        texts = _of_texts({name: column for name, column in single.items() if name not in unlike})
        found = [] if texts else [name for name in of_codes if 1 not in {*_codes(single[name])}]
    if not found:
        return texts
    label, column = found[0], single[found[0]]
    if label in strange:
        guess = _strange_label(column, [name for name in both if name != label])
    elif _is_named(label):
        also = f"; named so too, see `ignored`: {', '.join(strange)}" if strange else ""
        guess = Guess("label", f"holds 0 and 1, and is named so; {_rate(column)}{also}")
    else:
        also = f"; so do {', '.join(found[1:4])}" if found[1:] else ""
        what = "holds 0 and 1, and has a label's word in its name" if _has_word(label) else "holds 0 and 1"
        guess = Guess("label", f"GUESSED: {what}{also}; {_rate(column)}")
    known = "; if it is known before, put it under categorical"
    leak = Guess("ignored", f"0 and 1, and named as labels are: it may give {label} away{known}")
    leaks = [name for name in of_codes if (_is_named(name) or _begins_with_act(name)) and name != label]
    return {label: guess} | dict.fromkeys(leaks, leak) | _left_out(label, strange)


def _is_named(name: str) -> bool:
    return name.lower().removeprefix("is_").removeprefix("has_") in _NAMES


def _has_word(name: str) -> bool:
    """Say whether a name has what somebody did as a word, as `clicked_ad` and `isClicked` do."""
    return any(_ACTS.fullmatch(word) for word in _WORDS.findall(name))


def _begins_with_act(name: str) -> bool:
    return any(_ACTS.fullmatch(word) for word in _WORDS.findall(name)[:1])


def _is_strange(name: str, rows: FirstRows, of_codes: list[str]) -> bool:
    """Say whether a column is named like a label, but holds something else than 0 and 1."""
    if name in of_codes or rows.texts[name].nunique() <= 1:
        return False
    return _is_named(name) or (_has_word(name) and _is_yes_or_no(rows.texts[name]))


def _are_two_texts(column: pd.Series[str]) -> bool:
    return _two(column) is not None and numbers_of(_plain(column)) is None


def _is_yes_or_no(column: pd.Series[str]) -> bool:
    return _are_two_texts(column) and sum(map(bool, map(_NO.fullmatch, _plain(column).unique()))) == 1


def _of_texts(single: Mapping[str, pd.Series[str]]) -> dict[str, Guess]:
    """Guess that the first column of yes and no, or else of two texts, is the label; empty where there is none."""
    found = [name for name, column in single.items() if column.notna().any() and _are_two_texts(column)]
    found.sort(key=lambda name: not _is_yes_or_no(single[name]))
    if not found:
        return {}
    also = f"; so do {', '.join(found[1:4])}" if found[1:] else ""
    return {found[0]: _of_two(single[found[0]], f"GUESSED: holds two values{also}")}


def _plain(column: pd.Series[str]) -> pd.Series[str]:
    """Return the cells that have a value, without what means nothing in a label."""
    return column.dropna().str.strip(SPACES)


def _is_binary(column: pd.Series[str]) -> bool:
    return set(_plain(column).unique()) <= LABELS.keys()


def _codes(column: pd.Series[str]) -> pd.Series[int]:
    return _plain(column).map(LABEL.value)


def _rate(column: pd.Series[str]) -> str:
    return f"positive in {percent(float(_codes(column).mean()))} of the rows{without(column)}"


def _two(column: pd.Series[str]) -> tuple[str, str] | None:
    """Return what stands for 0 and for 1, where a column holds two values that may; else None."""
    texts = _plain(column).map(whole_number)
    found = list(texts.value_counts().index)
    if len(found) != 2:
        return None
    numbers = numbers_of(texts)
    if numbers is not None and len(numbers) == 2:
        low, high = sorted(found, key=float)
        return low, high
    if any(text in LABELS for text in found):
        return None
    negative = [text for text in found if _NEGATIVE.fullmatch(text)]
    # Where no name says it: rows with a click are the fewer ones.
    zero = negative[0] if len(negative) == 1 else found[0]
    return zero, next(text for text in found if text != zero)


def _strange_label(column: pd.Series[str], others: list[str]) -> Guess:
    if _two(column):
        return _of_two(column, "named like a label, and holds two values")
    wrong = column[column.notna() & ~column.str.strip(SPACES).isin(LABELS.keys())]
    instead = f" ({', '.join(others[:3])})" if others else ""
    return Guess(
        "label",
        f"named like a label, but NOT 0 OR 1 in {len(wrong):,} of {len(column):,} rows, such as "
        f"{shown(wrong.iloc[0])}; a label is 0 or 1, and preparation rejects other rows: write 0 and 1 there, or name "
        f"another column here{instead} and this one under ignored{without(column)}",
    )


def _of_two(column: pd.Series[str], why: str) -> Guess:
    two = _two(column)
    assert two is not None
    rate = float((_plain(column).map(whole_number) == two[1]).mean())
    said = f"{why}; {two[1]!r} in {percent(rate)} of the rows{without(column)}"
    return Guess("label", said, f"[{', '.join(map(_always_quoted, two))}]")


def _always_quoted(text: str) -> str:
    return f'"{text}"' if quoted(text) == text else quoted(text)


def _what(name: str, rows: FirstRows) -> str:
    """Say what a column holds."""
    known = rows.texts[name].dropna()
    if name in rows.most:
        return "lists"
    if name in rows.moments:
        return "dates"
    if two := _two(known):
        return f"{two[0]!r} and {two[1]!r}"
    numbers = numbers_of(known)
    if numbers is not None:
        return f"numbers from {numbers.min():g} to {numbers.max():g}"
    return f"{known.nunique():,} different texts, such as {shown(known.iloc[0])}"


def _left_out(label: str, strange: Mapping[str, str]) -> dict[str, Guess]:
    return {
        name: Guess(
            "ignored",
            f"named like a label, but holds {what}; a label is 0 or 1 (or two values, `label_values`), and as a "
            f"feature it may give {label} away",
        )
        for name, what in strange.items()
        if name != label
    }
