from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasrec_automl.data import parts as parts_module
from nasrec_automl.data.parts import PARTS, VALIDATION, Examples, Part, SplitKind, divide
from nasrec_automl.errors import DataError

RNG = np.random.default_rng(0)
LABEL = (RNG.random(10_000) < 0.3).astype(np.uint8)
TIME = RNG.permutation(10_000).astype(np.float64)
SHARES = {"train": 7200, "head": 800, "search": 500, "hpo": 250, "choice": 250, "test": 1000}


def examples(label: NDArray[np.uint8], **facts: Any) -> Examples:
    """Each a group of its own, if nothing else is said."""
    return Examples(**{"label": label, "first": np.ones(len(label), dtype=bool), **facts})


def cut(whole: Examples, ends: list[int]) -> list[Examples]:
    """Blocks that end there; a group that would be cut goes on to its end."""
    starts = [*np.flatnonzero(whole.first).tolist(), len(whole.label)]
    edges = sorted({0, len(whole.label), *(next(start for start in starts if start >= end) for end in ends)})
    return [
        replace(whole, **{name: values[a:b] for name, values in vars(whole).items() if values is not None})
        for a, b in pairwise(edges)
    ]


def codes(blocks: list[Examples], kind: SplitKind = "random", seed: int = 1) -> NDArray[np.uint8]:
    return np.concatenate([np.empty(0, dtype=np.uint8), *divide(lambda: blocks, kind=kind, seed=seed)])


def attempt(blocks: list[Examples], kind: SplitKind, seed: int) -> tuple[NDArray[np.uint8], str]:
    """The parts, or what is wrong with them."""
    try:
        return codes(blocks, kind, seed), ""
    except DataError as error:
        return np.empty(0, dtype=np.uint8), str(error)


def rows_of(whole: Examples, kind: SplitKind = "random", seed: int = 1) -> dict[Part, NDArray[np.int64]]:
    """Positions of the rows of each part."""
    found = codes([whole], kind, seed)
    assert len(found) == len(whole.label)
    return {part: np.flatnonzero(found == code) for code, part in enumerate(PARTS)}


def test_shares_and_positive_rates_of_the_random_split() -> None:
    for part, rows in rows_of(examples(LABEL), seed=2018).items():
        assert abs(len(rows) - SHARES[part]) <= 2
        assert abs(LABEL[rows].mean() - LABEL.mean()) < 0.005


def test_the_seed_decides_the_random_split() -> None:
    first, again, other = (codes([examples(LABEL)], seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_time_split_goes_from_old_to_new() -> None:
    parts = rows_of(examples(LABEL, time=TIME), "time")
    validation = np.concatenate([parts[part] for part in VALIDATION])
    in_order = [parts[Part.TRAIN], parts[Part.HEAD], validation, parts[Part.TEST]]
    for older, newer in pairwise(in_order):
        assert TIME[older].max() < TIME[newer].min()
    assert {part: len(rows) for part, rows in parts.items()} == pytest.approx(SHARES, abs=2)


def test_validation_parts_of_the_time_split_share_one_period() -> None:
    parts = rows_of(examples(LABEL, time=TIME), "time")
    for part in VALIDATION:
        assert np.ptp(TIME[parts[part]]) > 900
        assert abs(LABEL[parts[part]].mean() - LABEL[np.concatenate([parts[p] for p in VALIDATION])].mean()) < 0.01


def test_one_moment_stays_in_one_part() -> None:
    time = np.floor(TIME / 700)
    parts = rows_of(examples(LABEL, time=time), "time")
    validation = np.concatenate([parts[part] for part in VALIDATION])
    moments = [set(time[rows]) for rows in (parts[Part.TRAIN], parts[Part.HEAD], validation, parts[Part.TEST])]
    assert sum(map(len, moments)) == len(set(time))


def test_given_folds_are_kept_and_divided_within() -> None:
    fold = RNG.choice(3, size=10_000, p=[0.6, 0.25, 0.15]).astype(np.uint8)
    parts = rows_of(examples(LABEL, fold=fold), "given")
    folds = {Part.TRAIN: 0, Part.HEAD: 0, Part.SEARCH: 1, Part.HPO: 1, Part.CHOICE: 1, Part.TEST: 2}
    assert all(set(fold[rows]) == {folds[part]} for part, rows in parts.items())
    assert len(parts[Part.HEAD]) == pytest.approx(0.1 * (fold == 0).sum(), abs=2)
    assert len(parts[Part.SEARCH]) == pytest.approx(0.5 * (fold == 1).sum(), abs=2)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    groups=st.integers(400, 1200),
    kind=st.sampled_from(["random", "time", "given"]),
    ends=st.lists(st.integers(0, 2000), max_size=5),
    block=st.sampled_from([50, 999, 10**6]),
)
def test_parts_are_whole_groups_however_rows_are_cut(
    seed: int, groups: int, kind: SplitKind, ends: list[int], block: int
) -> None:
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(groups), rng.integers(1, 4, size=groups))
    rows = len(row)
    whole = Examples(
        label=(rng.random(rows) < 0.5).astype(np.uint8),
        first=np.diff(row, prepend=-1) != 0,
        time=rng.integers(0, groups, size=groups).astype(np.float64)[row],
        fold=rng.integers(0, 3, size=groups).astype(np.uint8)[row],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "_BLOCK", block)
        found, error = attempt([whole], kind, seed)
        again, same = attempt(cut(whole, [min(end, rows) for end in ends]), kind, seed)
    assert np.array_equal(again, found)
    assert same == error
    if error:  # a class that happens to be absent from a small part
        return
    assert set(found.tolist()) == set(range(len(PARTS)))
    assert np.array_equal(found, found[np.flatnonzero(whole.first)][row]), "a group belongs to one part"


def test_many_rows_have_the_shares_in_each_block_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_BLOCK", 1000)
    found = codes([examples(LABEL)])
    positives = found[LABEL == 1]
    for start in range(0, len(positives) - 1000, 1000):
        counts = np.bincount(positives[start : start + 1000], minlength=len(PARTS))
        assert counts.tolist() == [720, 80, 50, 25, 25, 100]


def test_blocks_are_asked_for_several_times_and_held_one_at_a_time() -> None:
    started = 0

    def blocks() -> Iterator[Examples]:
        nonlocal started
        started += 1
        yield from cut(examples(LABEL), [4000, 9000])

    assert [len(found) for found in divide(blocks, kind="random", seed=1)] == [4000, 5000, 1000]
    assert started == 2


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_that_is_the_same_in_each_row_is_named(value: int) -> None:
    with pytest.raises(DataError, match=f"the label is {value} in each row: take a column that holds both 0 and 1"):
        codes([examples(np.full(1000, value, dtype=np.uint8))])


def test_a_single_class_in_a_part_is_an_error() -> None:
    label = np.zeros(1000, dtype=np.uint8)
    label[:5] = 1
    with pytest.raises(DataError, match=r"part '\w+' of the random split needs rows of both classes, but has 0 pos"):
        codes([examples(label)])
    with pytest.raises(DataError, match="split at random"):
        codes([examples(np.sort(LABEL), time=np.arange(10_000.0))], "time")
    with pytest.raises(DataError, match="of 0 rows"):
        codes([])
    with pytest.raises(DataError, match="of 0 rows"):
        codes([], "time")


@pytest.mark.parametrize("days", [1, 2, 5, 6, 7])
def test_a_time_split_needs_times_that_are_fine_enough(days: int) -> None:
    time = np.floor(np.linspace(0, days, len(LABEL), endpoint=False))
    with pytest.raises(DataError, match=r"rows of one moment stay together .* give finer times"):
        codes([examples(LABEL, time=time)], "time")


def test_a_time_split_needs_times() -> None:
    with pytest.raises(DataError, match="do not have: use random"):
        codes([examples(LABEL)], "time")
    time = TIME.copy()
    time[4004] = np.nan
    with pytest.raises(DataError, match="row 4005"):
        codes(cut(examples(LABEL, time=time), [1000, 4000]), "time")


def test_a_given_split_needs_folds() -> None:
    with pytest.raises(DataError, match=r"does not say which rows are training.*give files for each, name the column"):
        codes([examples(LABEL)], "given")


def test_rows_that_all_have_weight_0_are_named() -> None:
    label = np.tile([0, 1], 200).astype(np.uint8)
    none = Examples(label=label, first=np.ones(400, dtype=bool), weight=np.zeros(400, dtype=np.float32))
    with pytest.raises(DataError, match="every row has weight 0, so that none counts: correct the column of weights"):
        list(divide(lambda: [none], kind="random", seed=0))
