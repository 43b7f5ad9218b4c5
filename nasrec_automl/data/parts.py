"""The parts of a prepared data set and who may read each."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.errors import DataError

SplitKind = Literal["random", "time"]


class Part(StrEnum):
    """Disjoint rows with one purpose each; together they are all rows."""

    TRAIN = "train"  # what the supernet learns from
    HEAD = "head"  # training rows that it does not see: heads are fitted on them
    SEARCH = "search"  # validation: scores of a search
    HPO = "hpo"  # validation: scores of hyper-parameters
    CHOICE = "choice"  # validation: the choice of the winner
    TEST = "test"  # read once, by the final stage


TRAINING = (Part.TRAIN, Part.HEAD)
VALIDATION = (Part.SEARCH, Part.HPO, Part.CHOICE)

# Training, validation and test are 8:1:1; a tenth of training is the head's.
_SHARES = {
    Part.TRAIN: 0.72,
    Part.HEAD: 0.08,
    Part.SEARCH: 0.05,
    Part.HPO: 0.025,
    Part.CHOICE: 0.025,
    Part.TEST: 0.1,
}


def split_rows(
    label: NDArray[np.uint8], *, kind: SplitKind, seed: int, time: NDArray[np.float64] | None = None
) -> dict[Part, NDArray[np.int64]]:
    """Divide rows into parts.

    Args:
        label: `(rows,)` of 0 and 1.
        kind: `random` keeps the positive rate equal in all parts; `time` trains on the oldest rows and tests
            on the newest, and only within validation divides at random.
        seed: of the random divisions.
        time: `(rows,)` when each row happened, for `time`.

    Returns:
        The row positions of each part, ascending.

    Raises:
        DataError: a part would be without rows or with a single class, or the times are missing.
    """
    parts = _by_time(label, time, seed) if kind == "time" else _stratified(np.arange(len(label)), label, _SHARES, seed)
    for part, rows in parts.items():
        positives = int(label[rows].sum())
        if positives in (0, len(rows)):
            raise DataError(
                f"part '{part}' of the {kind} split needs rows of both classes, but has {positives} positive "
                f"and {len(rows) - positives} negative ones of {len(label)} rows in all: bring more rows"
                + (" or split at random" if kind == "time" else "")
            )
    return parts


def _stratified(
    rows: NDArray[np.int64], label: NDArray[np.uint8], shares: dict[Part, float], seed: int
) -> dict[Part, NDArray[np.int64]]:
    """Divide `rows` by `shares`, which add up to 1, in each class alike."""
    edges = np.cumsum(list(shares.values()))[:-1]
    pieces: dict[Part, list[NDArray[np.int64]]] = {part: [] for part in shares}
    for value in (0, 1):
        shuffled = np.random.default_rng((seed, value)).permutation(rows[label[rows] == value])
        cuts = np.rint(edges * len(shuffled)).astype(np.int64)
        for part, piece in zip(shares, np.split(shuffled, cuts), strict=True):
            pieces[part].append(piece)
    return {part: np.sort(np.concatenate(both)) for part, both in pieces.items()}


def _by_time(label: NDArray[np.uint8], time: NDArray[np.float64] | None, seed: int) -> dict[Part, NDArray[np.int64]]:
    if time is None:
        raise DataError("a split by time needs the time of each row, which this data set does not have: use random")
    if np.isnan(time).any():
        row = int(np.flatnonzero(np.isnan(time))[0])
        raise DataError(f"a split by time needs the time of each row, but row {row + 1} (the first is 1) has none")
    order = np.argsort(time, kind="stable").astype(np.int64)
    ordered = time[order]
    # A cut moves back to the start of its moment: one moment's rows are alike and must not be on both sides.
    ideal = np.rint(np.array([0.72, 0.8, 0.9]) * len(order)).astype(np.int64)
    cuts = np.searchsorted(ordered, ordered[np.minimum(ideal, len(order) - 1)]) if len(order) else ideal
    train, head, validation, test = np.split(order, cuts)
    within = {part: _SHARES[part] / 0.1 for part in VALIDATION}
    return {
        Part.TRAIN: np.sort(train),
        Part.HEAD: np.sort(head),
        **_stratified(np.sort(validation), label, within, seed),
        Part.TEST: np.sort(test),
    }
