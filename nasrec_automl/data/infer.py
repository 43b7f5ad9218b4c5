"""A first draft of a table's schema, made of a file's first rows. It guesses; every guess says why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from nasrec_automl.data.columns import DerivedColumn
from nasrec_automl.data.first_rows import SEPARATOR, FirstRows, read_first_rows
from nasrec_automl.data.guess import (
    FEW,
    MANY,
    WRITTEN_NUMBER,
    Guess,
    joined,
    no_numbers,
    numbers_of,
    others_of,
    quoted,
    shown,
    without,
)
from nasrec_automl.data.guess_label import guess_labels
from nasrec_automl.data.guess_leaks import without_leaks
from nasrec_automl.data.guess_separator import LIKE_LISTS, other_separator
from nasrec_automl.data.guess_time import OTHER_DATES, guess_time, hint_of_time, parts_of_time, time_of
from nasrec_automl.data.readers.kinds import FOLD_NAMES, LABELS, SPACES
from nasrec_automl.data.rejections import DEFAULT_LIMIT
from nasrec_automl.data.values import whole_number
from nasrec_automl.errors import DataError

_WEIGHT_NAMES = (
    *("weight", "weights", "sampleweight", "sampleweights", "exampleweight", "instanceweight", "rowweight"),
    *("caseweight", "samplingweight", "importance", "importanceweight"),
)
# What pandas calls an index without a name in CSV, and when it reads that again, and in Parquet.
_INDEX_NAME = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
# Ids by their last word, which may be one with what they are of (movieid); others merely end so: a bid, what was paid.
_NO_IDS = "(max|min|avg|mean|last|win|top|floor)?bid|[a-z0-9]*paid|grid|valid|invalid|void|solid|liquid|fluid|hybrid"
_NO_IDS += "|covid|raid|rapid|acid|humid|arid|said|laid|squid|android|asteroid|centroid|steroid|thyroid|vivid"
_ID_NAME = re.compile(rf"(^|_)(uuid|guid|hash|code|zip|category|type|(?!({_NO_IDS})$)[a-z0-9]*id)$", re.IGNORECASE)
# So many different values are no chance, however few the rows that have one.
_NO_CHANCE = 1000
# Of a multi-valued column a draft reads at most so many values of a cell.
_MOST_VALUES = 50
# So many lists say what lists hold: those of vectors are long.
_LOOKED_AT = 1000
# Of a multi-valued column, at least so many of the texts have several values.
_OFTEN = 0.1


def infer_schema(path: Path) -> str:
    """Draft the schema of a file: YAML with the reason for each role in a comment.

    Args:
        path: CSV or TSV with a header, compressed or not, or Parquet.

    Raises:
        DataError: the file cannot be read, has no header or no rows, or has no column that could be the label or none
            that could be a category.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder: name one of its files, which are alike")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected CSV or TSV with a header, or Parquet")
    rows = read_first_rows(path)
    bad = f". {rows.bad_rows}" if rows.bad_rows else ""
    if not rows.rejections.accepted:
        raise DataError(f"{path}: there are no rows to look at: correct the file, or take another{bad}")
    weights = _weights_of(rows)
    splits = _splits_of(rows)
    labels = guess_labels(rows, unlike=frozenset({*weights, *splits}))
    if not labels:
        raise DataError(f"{path}: no column holds 0 and 1, or two texts, so none can be the label: add one{bad}")
    guesses = {
        name: Guess("ignored", f"of type {type_}, which no role can read") for name, type_ in rows.unusable.items()
    }
    certain = weights | splits | labels
    time = time_of(rows, [name for name in rows.texts.columns if name not in certain])
    guesses |= {name: certain.get(name) or _guess(name, rows, is_time=name == time) for name in rows.texts.columns}
    label = next(iter(labels))
    features = _features(guesses)
    guesses = without_leaks(guesses, rows, _is_positive(rows.texts[label], labels[label]))
    parts = [] if time is None else parts_of_time(time, rows, guesses[time].options)
    if not parts and not any(guess.role == "categorical" for guess in guesses.values()):
        leaks = "".join(f". {n} is left out ({guesses[n].why})" for n in guesses if n in features - _features(guesses))
        raise DataError(
            f"{path}: no column looks like a category, but a model needs one; write the schema by hand, with at least "
            f"one column under `categorical`, such as a number that takes few values{leaks}{bad}"
        )
    return "\n".join(_in_line(line) for line in _lines(path, rows, guesses, parts)) + "\n"


def _features(guesses: Mapping[str, Guess]) -> set[str]:
    return {name for name, guess in guesses.items() if guess.role in ("dense", "categorical")}


def _is_positive(column: pd.Series[str], guess: Guess) -> NDArray[np.bool_]:
    ones = yaml.safe_load(guess.options)[1:] if guess.options else [text for text, code in LABELS.items() if code]
    return column.str.strip(SPACES).map(whole_number, na_action="ignore").isin(ones).to_numpy(dtype=bool)


def _in_line(text: str) -> str:
    """Escape what would end a line of YAML, such as a newline in a column's name that a comment repeats."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _lines(path: Path, rows: FirstRows, guesses: dict[str, Guess], parts: Sequence[DerivedColumn]) -> Iterator[str]:
    roles = ("label", "weight", "split", "timestamp", "ignored")
    of = {role: {n: g for n, g in guesses.items() if g.role == role} for role in roles}
    yield (
        f"# Drafted from the first {len(rows.texts):,} rows of {path.name}. "
        "Check each role; the comments say why it was chosen."
    )
    if rows.bad_rows:
        yield f"# {rows.bad_rows}"
    if rows.separator is not None:
        yield f"separator: {quoted(rows.separator)}  # between the fields; the file's ending does not say so"
    for name, guess in of["label"].items():
        yield f"label: {quoted(name)}  # {guess.why}"
        if guess.options:
            yield f"label_values: {guess.options}  # GUESSED: what stands for 0 and for 1; swap them if need be"
    for role in ("weight", "split"):
        for name, guess in of[role].items():
            yield f"{role}: {quoted(name)}  # {guess.why}"
    for name, guess in of["timestamp"].items():
        yield f"timestamp: {{column: {quoted(name)}, format: {quoted(guess.options)}}}  # {guess.why}"
    for role, what in (
        ("dense", "log, standardise, quantile or none"),
        ("categorical", "kind, min_count, max_values, ..."),
    ):
        chosen = {name: guess for name, guess in guesses.items() if guess.role == role}
        if role == "categorical":
            chosen |= {part.name: Guess("categorical", f"the {part.kind} of {part.source}") for part in parts}
        if chosen:
            yield f"{role}:  # {what}"
        for name, guess in chosen.items():
            yield f"  {quoted(name)}: {guess.options}  # {guess.why}"
    if parts:
        yield "derived:  # computed; take one that is of no use out here and under categorical"
    for part in parts:
        values = "0 to 23" if part.kind == "hour" else "0 is Monday"
        yield f"  - {{name: {quoted(part.name)}, source: {quoted(part.source)}, kind: {part.kind}}}  # {values}, in UTC"
    if of["ignored"]:
        yield "ignored:"
    for name, guess in of["ignored"].items():
        yield f"  - {quoted(name)}  # {guess.why}"


def _weights_of(rows: FirstRows) -> dict[str, Guess]:
    """Choose the column of weights. As a feature it would give the label away where the weights were chosen by it.

    Returns:
        The guess for it, and for others that are named so, which are left out.
    """
    guesses: dict[str, Guess] = {}
    for name in rows.texts.columns:
        column = rows.texts[name]
        known = column.dropna()
        if re.sub(r"[^a-z]", "", name.lower()) not in _WEIGHT_NAMES or known.nunique() <= 1:
            continue
        numbers = None if name in rows.most or name in rows.moments else numbers_of(known)
        if numbers is None or bool((numbers < 0).any()):
            continue
        if guesses:
            why = f"named like the weight of a row, and so is {next(iter(guesses))}, which is taken"
            guesses[name] = Guess("ignored", why)
            continue
        others = others_of(column, numbers)
        bad = "" if others.empty else f"{no_numbers(column, others)}, which preparation rejects"
        why = (
            f"GUESSED: named like the weight of a row, and numbers from {numbers.min():g} to {numbers.max():g}; if it "
            f"is a product's weight, put it under dense{without(column)}{bad}"
        )
        guesses[name] = Guess("weight", why)
    return guesses


def _splits_of(rows: FirstRows) -> dict[str, Guess]:
    """Choose the column that says what each row is for.

    Returns:
        The guess for it, and for others of such texts, which are left out.
    """
    guesses: dict[str, Guess] = {}
    for name in rows.texts.columns:
        column = rows.texts[name]
        texts = set() if name in rows.most else {*column.dropna().str.strip(SPACES)}
        if not texts or not texts <= FOLD_NAMES.keys():
            continue
        if {FOLD_NAMES[text] for text in texts} != {*FOLD_NAMES.values()}:
            why = (
                f"holds {' and '.join(sorted(texts))} alone; a split needs train, validation and test: if later rows "
                f"have them, write split: {quoted(name)}"
            )
            guesses[name] = Guess("ignored", why)
        elif any(guess.role == "split" for guess in guesses.values()):
            guesses[name] = Guess("ignored", "train, validation and test as well, but a schema has one split")
        else:
            guesses[name] = Guess("split", f"says of each row what it is for{without(column)}")
    return guesses


def _guess(name: str, rows: FirstRows, *, is_time: bool) -> Guess:
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
        where = "" if rows.all_read else f" in the first {len(column):,} rows"
        return Guess("ignored", f"always {'the same' if len(known) else 'missing'}{where}")
    if name in rows.most:
        return _guess_lists(known, rows.most[name])
    if is_time:
        return guess_time(name, rows)
    if name in rows.moments:
        return Guess("ignored", OTHER_DATES)
    numbers = numbers_of(known)
    if numbers is None:
        if hint := hint_of_time(name, known):
            return Guess("ignored", hint)
        text = _guess_text(known, len(column))
        return replace(text, why=text.why + _hint_of_numbers(known.drop_duplicates()))
    guess, others = _guess_number(name, numbers, len(known), len(column)), others_of(column, numbers)
    if others.empty or guess.role == "ignored":
        return guess
    if guess.role == "dense" and len(others) <= DEFAULT_LIMIT * len(column):
        return replace(guess, why=f"{guess.why}{no_numbers(column, others)}, which preparation rejects")
    text = _guess_text(known, len(column))
    as_number = f"{no_numbers(column, others)}: empty there, it would be one of numbers"
    return replace(text, why=text.why + as_number) if guess.role == "dense" else text


def _guess_lists(known: pd.Series[str], most: int) -> Guess:
    numbers = numbers_of(known.iloc[:_LOOKED_AT].str.split(SEPARATOR, regex=False).explode())
    if numbers is not None and bool((numbers % 1 != 0).any()):
        return Guess("ignored", f"lists of numbers, the longest of {most}: no role reads vectors")
    return _several(f"lists, the longest of {most}", most)


def _several(why: str, most: int) -> Guess:
    """A multi-valued field: a column of ids for each of its values, so that it does not take any number of them."""
    read = min(max(2, most), _MOST_VALUES)
    return Guess("categorical", f"{why}, of which {read} are read" if read < most else why, f"{{max_values: {read}}}")


def _never_twice(distinct: int, known: int, rows: int) -> bool:
    """Whether values differ so often that others will too: a few of a large catalogue differ by chance.

    Args:
        distinct: number of different values.
        known: number of cells that are not missing.
        rows: number of cells.
    """
    return distinct == known > MANY and (2 * known >= rows or known > _NO_CHANCE)


def _guess_text(known: pd.Series[str], rows: int) -> Guess:
    distinct = known.nunique()
    most = int(known.str.count(re.escape(SEPARATOR)).max()) + 1
    if known.str.contains(SEPARATOR, regex=False).mean() >= _OFTEN:
        return _several(f"texts with {SEPARATOR} between values, {most} at most", most)
    if (separator := other_separator(known)) is not None:
        most = int(known.str.count(re.escape(separator)).max()) + 1
        several = _several(f"GUESSED: texts with {quoted(separator)} between values, {most} at most", most)
        return replace(several, options=f"{several.options[:-1]}, separator: {quoted(separator)}}}")
    if _never_twice(distinct, len(known), rows):
        return Guess("ignored", "text, no value twice: says nothing of other rows")
    return Guess("categorical", f"text, {distinct:,} different{_hint_of_lists(known)}")


def _hint_of_lists(known: pd.Series[str]) -> str:
    """Hint that texts are lists (`['a', 'b']`), where most are; else empty."""
    if known.str.fullmatch(LIKE_LISTS).mean() <= 0.5:
        return ""
    return f"; lists written as text, such as {shown(known.iloc[0])}: as a{SEPARATOR}b they would be several values"


def _hint_of_numbers(texts: pd.Series[str]) -> str:
    """Hint that distinct texts are numbers as people write them (`$1,299`), where nearly all are; else empty."""
    written = texts[texts.str.strip().str.fullmatch(WRITTEN_NUMBER)]
    if len(texts) - len(written) > FEW * len(texts):
        return ""
    such = next(text for text in written if numbers_of(pd.Series([text])) is None)
    return f"; as digits with a decimal point alone, {shown(such)} and others would be numbers"


def _guess_number(name: str, numbers: pd.Series[float], known: int, rows: int) -> Guess:
    """Guess the role of a column of numbers.

    Args:
        name: of the column.
        numbers: its distinct ones, in the order that they come in.
        known: number of its cells that are not missing.
        rows: number of its cells.
    """
    distinct = len(numbers)
    different = f"{distinct:,} different"
    whole = bool((numbers % 1 == 0).all())
    counts_rows = name == "index" and distinct == known and numbers.is_monotonic_increasing
    if whole and (counts_rows or _INDEX_NAME.fullmatch(name)):
        # Of rows sorted by their label it would give the label away.
        return Guess("ignored", "whole numbers, named as pandas names a row's place in the file")
    if whole and _never_twice(distinct, known, rows) and _ID_NAME.search(joined(name)):
        return Guess("ignored", "an id, no value twice: says nothing of other rows")
    if whole and _ID_NAME.search(joined(name)):
        return Guess("categorical", f"whole numbers, {different}, named like an id")
    if whole and distinct <= MANY:
        return Guess("categorical", f"whole numbers, only {different}")
    ids = "; if these are ids, put it under categorical" if whole else ""
    transform = "log" if bool((numbers >= 0).all()) and float(numbers.max()) > 20 else "standardise"
    return Guess("dense", f"numbers from {numbers.min():g} to {numbers.max():g}, {different}{ids}", transform)
