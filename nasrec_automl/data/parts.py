"""The parts of a prepared data set, who may read each, and how rows are divided into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.selection import values_at
from nasrec_automl.errors import DataError

SplitKind = Literal["random", "time", "given"]


class Part(StrEnum):
    """Disjoint rows with one purpose each; together they are all rows."""

    TRAIN = "train"  # what the supernet learns from
    HEAD = "head"  # training rows that it does not see: heads are fitted on them
    SEARCH = "search"  # validation: scores of a search, and when its supernet is best
    HPO = "hpo"  # validation: scores of hyper-parameters
    CHOICE = "choice"  # validation: the choice of the winner, with search where that chose no candidate
    TEST = "test"  # read once, by the final stage


TRAINING = (Part.TRAIN, Part.HEAD)
VALIDATION = (Part.SEARCH, Part.HPO, Part.CHOICE)
FINAL = (*TRAINING, Part.SEARCH, Part.CHOICE)
"""What the winner learns from, while the hpo part says when to end."""
PARTS = tuple(Part)

Shares = Mapping[Part, float]

# Training, validation and test are 8:1:1; a tenth of training is the head's.
_TRAINING: Shares = {Part.TRAIN: 0.72, Part.HEAD: 0.08}
_VALIDATION: Shares = {Part.SEARCH: 0.05, Part.HPO: 0.025, Part.CHOICE: 0.025}
_TEST: Shares = {Part.TEST: 0.1}
# Rows fall into strata first, then each stratum is divided at random, in each class alike.
_STRATA: Mapping[SplitKind, tuple[Shares, ...]] = {
    "random": ({**_TRAINING, **_VALIDATION, **_TEST},),
    "time": ({Part.TRAIN: 1.0}, {Part.HEAD: 1.0}, _VALIDATION, _TEST),
    "given": (_TRAINING, _VALIDATION, _TEST),
}
_CUTS = (0.72, 0.8, 0.9)  # where the time split's strata end
_BLOCK = 1_000_000
NO_FOLDS = (
    "this data set does not say which rows are training, validation and test: give files for each, name the column "
    "that says it in the schema, or split at random"
)
"""What is wrong with rows that are to be split as `given`, but are not."""


@dataclass(frozen=True)
class Examples:
    """What a split looks at: some successive examples, no group of which goes on in the next ones.

    Attributes:
        label: `(n,)` 0 and 1.
        first: `(n,)` whether each is the first of its group; a group belongs to one part.
        time: `(n,)` when each happened.
        fold: `(n,)` 0 for training, 1 for validation, 2 for test.
        weight: `(n,)` at least 0; a row of weight 0 is in no class.
    """

    label: NDArray[np.uint8]
    first: NDArray[np.bool_]
    time: NDArray[np.float64] | None = None
    fold: NDArray[np.uint8] | None = None
    weight: NDArray[np.float32] | None = None


def divide(
    blocks: Callable[[], Iterable[Examples]], *, kind: SplitKind, seed: int, check: bool = True
) -> Iterator[NDArray[np.uint8]]:
    """Divide examples into parts, in memory that their number does not decide.

    Args:
        blocks: reads all examples from the beginning, some at a time; called several times.
        kind: `random` keeps the positive rate equal in all parts; `time` trains on the oldest rows and tests
            on the newest, and only within validation divides at random; `given` takes training, validation and test
            as the source says.
        seed: of the random divisions.
        check: whether each part must have rows of both classes.

    Yields:
        For each block the position in `PARTS` of each example's part, `(n,)`.

    Raises:
        DataError: a part would be without rows or with a single class (when all are divided), every row has weight 0,
            or times or folds are missing.
    """
    cuts = _time_cuts(blocks, whole=check) if kind == "time" else None
    shares = _STRATA[kind]
    totals = np.zeros((len(shares), 2), dtype=np.int64)
    for block in blocks():
        strata, label = _groups(block, kind, cuts)
        np.add.at(totals, (strata, label), 1)
    drawn = [
        [_Stratum(of_stratum, int(totals[number, value]), (seed, value)) for value in (0, 1)]
        for number, of_stratum in enumerate(shares)
    ]
    found = np.zeros((len(PARTS), 2), dtype=np.int64)
    for block in blocks():
        strata, label = _groups(block, kind, cuts)
        parts = np.empty(len(label), dtype=np.uint8)
        for number in range(len(shares)):
            for value in (0, 1):
                members = (strata == number) & (label == value)
                parts[members] = drawn[number][value].take(int(np.count_nonzero(members)))
        parts = parts[np.cumsum(block.first) - 1]
        counted = block.label if block.weight is None else block.label[block.weight > 0]
        np.add.at(found, (parts if block.weight is None else parts[block.weight > 0], counted), 1)
        yield parts
    if check:
        rows = found.sum(axis=1)
        if totals.any() and not rows.any():
            raise DataError(
                "every row has weight 0, so that none counts: correct the column of weights, or name none in the schema"
            )
        check_classes({part: (int(rows[i]), found[i, 1] / max(1, rows[i])) for i, part in enumerate(PARTS)}, kind)


def _groups(
    block: Examples, kind: SplitKind, cuts: NDArray[np.float64] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return stratum and class of each group; a group is positive if any of its examples is."""
    starts = np.flatnonzero(block.first)
    label = np.maximum.reduceat(block.label, starts) if len(starts) else block.label
    if cuts is not None and block.time is not None:
        return np.searchsorted(cuts, block.time[starts], side="right").astype(np.uint8), label
    if kind == "given":
        if block.fold is None:
            raise DataError(NO_FOLDS)
        return block.fold[starts], label
    return np.zeros(len(starts), dtype=np.uint8), label


class _Stratum:
    """Deals out the parts of the members of one stratum and class, in their order.

    Every million of them are divided by themselves, exactly by the shares, in a random order.
    """

    def __init__(self, shares: Shares, total: int, key: tuple[int, int]) -> None:
        self._parts = np.array([PARTS.index(part) for part in shares], dtype=np.uint8)
        weights = np.array(list(shares.values()))
        self._edges = np.cumsum(weights / weights.sum())[:-1]
        self._total = total
        self._key = key
        self._done = 0
        self._block = np.empty(0, dtype=np.uint8)

    def take(self, count: int) -> NDArray[np.uint8]:
        pieces = [np.empty(0, dtype=np.uint8)]
        while count:
            block, inside = divmod(self._done, _BLOCK)
            if not inside:
                self._block = self._draw(block)
            pieces.append(self._block[inside : inside + count])
            self._done += len(pieces[-1])
            count -= len(pieces[-1])
        return np.concatenate(pieces)

    def _draw(self, block: int) -> NDArray[np.uint8]:
        size = min(_BLOCK, self._total - block * _BLOCK)
        order = np.random.default_rng((*self._key, block) if block else self._key).permutation(size)
        dealt = np.empty(size, dtype=np.uint8)
        for part, members in zip(
            self._parts, np.split(order, np.rint(self._edges * size).astype(np.int64)), strict=True
        ):
            dealt[members] = part
        return dealt


def _time_cuts(blocks: Callable[[], Iterable[Examples]], *, whole: bool) -> NDArray[np.float64]:
    """Return the first moment of every stratum but the first: one moment's rows are alike, and never divided.

    Validation must have moments of its own, and where the rows are the `whole` data every stratum.
    """
    rows = 0
    for block in blocks():
        if block.time is None:
            raise DataError("a split by time needs the time of each row, which these rows do not have: use random")
        if np.isnan(block.time).any():
            row = rows + int(np.flatnonzero(np.isnan(block.time))[0])
            raise DataError(f"a split by time needs the time of each row, but row {row + 1} (the first is 1) has none")
        rows += len(block.time)
    if not rows:
        return np.empty(0)
    ranks = [0, *(min(int(np.rint(cut * rows)), rows - 1) for cut in _CUTS)]
    first, *cuts = values_at(ranks, lambda: (block.time for block in blocks() if block.time is not None))
    bounds = (first, *cuts) if whole else cuts[-2:]
    if not all(early < late for early, late in pairwise(bounds)):
        raise DataError(
            "rows of one moment stay together in a split by time, and these have too few moments, or too many rows of "
            "one, for parts of about 72, 8, 10 and 10 %: give finer times, such as hours in place of days, or more days"
        )
    return np.array(cuts)


def check_classes(found: Mapping[Part, tuple[int, float]], kind: SplitKind) -> None:
    """Check that rows of both classes count in each part.

    Args:
        found: number of rows and positive rate of each part.
        kind: of the split.

    Raises:
        DataError: a part is without rows of a class; names it.
    """
    for part in PARTS:
        rows, rate = found[part]
        if not rows or not 0 < rate < 1:
            if {each for some, each in found.values() if some} in ({0.0}, {1.0}):
                raise DataError(
                    f"the label is {round(rate)} in each row: take a column that holds both 0 and 1 (the schema's "
                    "`label`), or bring more rows"
                )
            raise DataError(
                f"part '{part}' of the {kind} split needs rows of both classes, but has {round(rows * rate)} positive "
                f"and {round(rows * (1 - rate))} negative ones of {sum(each for each, _ in found.values())} rows in "
                "all: bring more rows" + (" or split at random" if kind != "random" else "")
            )
