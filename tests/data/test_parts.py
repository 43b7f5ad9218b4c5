from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.parts import VALIDATION, Part, split_rows
from nasrec_automl.errors import DataError

RNG = np.random.default_rng(0)
LABEL = (RNG.random(10_000) < 0.3).astype(np.uint8)
TIME = RNG.permutation(10_000).astype(np.float64)
SHARES = {"train": 7200, "head": 800, "search": 500, "hpo": 250, "choice": 250, "test": 1000}


@settings(deadline=None, max_examples=50)
@given(rows=st.integers(400, 3000), rate=st.floats(0.2, 0.8), seed=st.integers(0, 2**32), by_time=st.booleans())
def test_parts_are_disjoint_and_cover_all_rows(rows: int, rate: float, seed: int, by_time: bool) -> None:
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < rate).astype(np.uint8)
    time = rng.integers(0, rows, size=rows).astype(np.float64)
    try:
        parts = split_rows(label, kind="time" if by_time else "random", seed=seed, time=time)
    except DataError:  # a class that happens to be absent from a small part
        return
    assert set(parts) == set(Part)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(rows))


def test_shares_and_positive_rates_of_the_random_split() -> None:
    parts = split_rows(LABEL, kind="random", seed=2018)
    for part, rows in parts.items():
        assert abs(len(rows) - SHARES[part]) <= 2
        assert abs(LABEL[rows].mean() - LABEL.mean()) < 0.005


def test_the_seed_decides_the_random_split() -> None:
    first, again, other = (split_rows(LABEL, kind="random", seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[part], again[part]) for part in Part)
    assert not np.array_equal(first[Part.TEST], other[Part.TEST])


def test_the_time_split_goes_from_old_to_new() -> None:
    parts = split_rows(LABEL, kind="time", seed=1, time=TIME)
    validation = np.concatenate([parts[part] for part in VALIDATION])
    in_order = [parts[Part.TRAIN], parts[Part.HEAD], validation, parts[Part.TEST]]
    for older, newer in pairwise(in_order):
        assert TIME[older].max() < TIME[newer].min()
    assert {part: len(rows) for part, rows in parts.items()} == pytest.approx(SHARES, abs=2)


def test_validation_parts_of_the_time_split_share_one_period() -> None:
    parts = split_rows(LABEL, kind="time", seed=1, time=TIME)
    for part in VALIDATION:
        assert np.ptp(TIME[parts[part]]) > 900
        assert abs(LABEL[parts[part]].mean() - LABEL[np.concatenate([parts[p] for p in VALIDATION])].mean()) < 0.01


def test_one_moment_stays_in_one_part() -> None:
    time = np.floor(TIME / 700)
    parts = split_rows(LABEL, kind="time", seed=1, time=time)
    validation = np.concatenate([parts[part] for part in VALIDATION])
    moments = [set(time[rows]) for rows in (parts[Part.TRAIN], parts[Part.HEAD], validation, parts[Part.TEST])]
    assert sum(map(len, moments)) == len(set(time))


def test_a_single_class_in_a_part_is_an_error() -> None:
    label = np.zeros(1000, dtype=np.uint8)
    label[:5] = 1
    with pytest.raises(DataError, match=r"part '\w+' of the random split needs rows of both classes, but has 0 pos"):
        split_rows(label, kind="random", seed=1)
    with pytest.raises(DataError, match="split at random"):
        split_rows(np.sort(LABEL), kind="time", seed=1, time=np.arange(10_000.0))
    with pytest.raises(DataError, match="of 0 rows"):
        split_rows(LABEL[:0], kind="random", seed=1)


def test_a_time_split_needs_times() -> None:
    with pytest.raises(DataError, match="does not have: use random"):
        split_rows(LABEL, kind="time", seed=1)
    time = TIME.copy()
    time[4] = np.nan
    with pytest.raises(DataError, match="row 5"):
        split_rows(LABEL, kind="time", seed=1, time=time)
