from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.counting import count_keys
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.statistics import DenseStatistics, FieldCounter, FieldStatistics, PeriodCounter, Statistics
from nasrec_automl.errors import DataError


def field(values: list[str | None], **options: int) -> FieldStatistics:
    found = CategoryFormat.model_validate(options).keys(pd.Series(values, dtype=object), "x")
    counter = FieldCounter()
    for share in count_keys(lambda: [found.keys]):
        counter.add(*share)
    texts = dict(zip(found.distinct.tolist(), found.texts, strict=True))
    missing = int((found.keys[:, 0] == 0).sum())
    return counter.statistics(
        "x", lambda keys: [texts[key] for key in keys.tolist()], rows=len(values), missing=missing
    )


def test_a_field_is_described_by_its_counts() -> None:
    made = field([*"aaaabbc", None])
    assert (made.values, made.missing, made.categories) == (7, 0.125, 3)
    assert made.sizes == ((1, 3), (2, 2), (4, 1))
    assert [text for text, _ in made.top] == ["a", "b", "c"]
    assert [share for _, share in made.top] == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_a_multi_valued_field_has_more_values_than_rows() -> None:
    made = field(["a|b|c", "a", None, ""], max_values=2)
    assert (made.values, made.missing, made.categories) == (3, 0.5, 2)


def test_the_most_frequent_ten_are_kept_and_nothing_is_no_error() -> None:
    words = [f"w{number:02d}" for number in range(15) for _ in range(number + 1)]
    assert [text for text, _ in field([*words]).top] == [f"w{number:02d}" for number in range(14, 4, -1)]
    empty = field([None, None])
    assert (empty.values, empty.missing, empty.categories, empty.sizes, empty.top) == (0, 1.0, 0, (), ())
    assert field([]).missing == 0.0


@given(
    numbers=st.lists(st.sampled_from([1, 1, 1, 2, 3]) | st.integers(1, 2**40), max_size=60),
    most=st.integers(1, 70),
)
def test_a_field_is_the_same_however_many_categories_come_at_once(numbers: list[int], most: int) -> None:
    keys, counts = np.arange(7, 7 + len(numbers), dtype=np.uint64), np.array(numbers, dtype=np.int64)
    counter, shares = FieldCounter(), -(-len(keys) // most)
    for share in range(shares):
        counter.add(keys[share::shares], counts[share::shares])
    made = counter.statistics("x", lambda asked: [str(key) for key in asked], rows=0, missing=0)
    assert (made.values, made.categories) == (sum(numbers), len(numbers))
    floors = [2**power for power in range(max(numbers, default=0).bit_length())]
    assert made.sizes == tuple((floor, sum(number >= floor for number in numbers)) for floor in floors)
    ranked = sorted((-number, key) for key, number in enumerate(numbers, 7))[:10]
    assert made.top == tuple((str(key), -number / sum(numbers)) for number, key in ranked)


def test_a_period_counts_each_part() -> None:
    rng = np.random.default_rng(0)
    time = np.r_[rng.uniform(5, 15, size=500), 5.0, 15.0]
    part = rng.integers(0, 6, size=502).astype(np.uint8)
    label = rng.integers(0, 2, size=502).astype(np.uint8)
    counter = PeriodCounter(5.0, 15.0)
    for start in range(0, 502, 100):
        some = slice(start, start + 100)
        counter.add(time[some], part[some], label[some])
    period = counter.period()
    for code, name in enumerate(PARTS):
        mine = part == code
        assert period.rows[name] == tuple(np.histogram(time[mine], period.edges)[0].tolist())
        assert period.positives[name] == tuple(np.histogram(time[mine & (label == 1)], period.edges)[0].tolist())


def test_one_moment_is_a_period() -> None:
    counter = PeriodCounter(3.0, 3.0)
    counter.add(np.full(4, 3.0), np.zeros(4, np.uint8), np.array([0, 1, 1, 0], np.uint8))
    period = counter.period()
    assert (sum(period.rows[Part.TRAIN]), sum(period.positives[Part.TRAIN])) == (4, 2)
    assert np.diff(period.edges).min() > 0


STATISTICS = Statistics(
    rows=8,
    fields=(field([*"aab", None]),),
    dense=(
        DenseStatistics(name="n", missing=0.5, mean=1.5, low=-1.0, high=3e38),
        DenseStatistics(name="empty", missing=1.0, mean=None, low=None, high=None),
    ),
    periods=(PeriodCounter(0.0, 1.0).period(),),
)


def test_they_are_saved_whole(tmp_path: Path) -> None:
    STATISTICS.save(tmp_path)
    assert Statistics.load(tmp_path) == STATISTICS
    assert [path.name for path in tmp_path.iterdir()] == ["statistics.json"]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"rows": 1, "fields": [], "dense": [], "other": 1}'])
def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "statistics.json").write_text(content)
    with pytest.raises(DataError, match=r"statistics\.json: (cannot be read|damaged) .*: prepare the data again"):
        Statistics.load(tmp_path)


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").write_text('{"rows": "few", "fields": [], "dense": []}')
    with pytest.raises(DataError, match=r"damaged \(rows: .*valid integer.*, but it is 'few'\)"):
        Statistics.load(tmp_path)
