import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data import columns
from nasrec_automl.data.columns import DenseColumn, DenseOptions, DerivedColumn, Transform
from nasrec_automl.errors import DataError

NAN = float("nan")


def learn(transform: Transform, *pieces: NDArray[np.float64]) -> DenseColumn:
    return DenseColumn.learn("x", DenseOptions(transform=transform), pieces, sum(map(len, pieces)))


def cut(values: NDArray[np.float64], sizes: list[int]) -> list[NDArray[np.float64]]:
    return np.split(values, np.minimum(np.cumsum(sizes), len(values)))


def test_log_is_that_of_the_positive_part() -> None:
    column = DenseColumn(name="x", transform="log")
    made = column.apply(np.array([0.0, np.e - 1, -4.0, NAN]))
    np.testing.assert_allclose(made, [[0.0], [1.0], [0.0], [0.0]])


def test_standardise_puts_missing_at_the_mean() -> None:
    values = np.array([2.0, 4.0, NAN, 6.0])
    made = learn("standardise", values).apply(values)[:, 0]
    assert made[2] == 0
    np.testing.assert_allclose([made.mean(), made[[0, 1, 3]].std()], [0, 1], atol=1e-12)


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1], [NAN, NAN], [1e-200, 2e-200]])
def test_standardise_divides_by_no_zero(values: list[float]) -> None:
    column = learn("standardise", np.array(values))
    assert np.abs(column.apply(np.array(values))).max() < 1e-9


def test_dense_values_stay_finite_in_float32() -> None:
    column = DenseColumn(name="x", transform="standardise", std=1e-30)
    assert np.isfinite(column.apply(np.array([3e38])).astype(np.float32)).all()


numbers = st.lists(st.just(NAN) | st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), max_size=40).map(np.array)
sizes = st.lists(st.integers(0, 9), max_size=6)


@settings(deadline=None)
@given(values=numbers, sizes=sizes)
def test_moments_are_those_of_the_pieces_together(values: NDArray[np.float64], sizes: list[int]) -> None:
    whole, column = learn("standardise", values), learn("standardise", *cut(values, sizes))
    known = values[~np.isnan(values)] if len(values) else values
    if len(np.unique(known)) > 1:
        assert column.mean == pytest.approx(known.mean(), rel=1e-9, abs=1e-9)
        assert column.std == pytest.approx(known.std(), rel=1e-9)
    assert (column.mean, column.std) == pytest.approx((whole.mean, whole.std), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(values=numbers, sizes=sizes)
def test_quantiles_do_not_depend_on_the_pieces(values: NDArray[np.float64], sizes: list[int]) -> None:
    whole = learn("quantile", values)
    with pytest.MonkeyPatch.context() as patch:
        assert learn("quantile", *cut(values, sizes)) == whole
        patch.setattr(columns, "QUANTILE_VALUES", 5)
        assert learn("quantile", *cut(values, sizes)) == learn("quantile", values)
    made = whole.apply(values)[:, 0] if len(values) else np.empty(0)
    assert (np.abs(made) <= 1 + 1e-12).all()
    known = np.flatnonzero(~np.isnan(values)) if len(values) else []
    order = sorted(known, key=lambda row: values[row])
    assert (np.diff(made[order]) >= 0).all()
    assert (np.delete(made, known) == 0).all()


def test_quantiles_spread_any_distribution_evenly() -> None:
    values = np.exp(3 * np.random.default_rng(0).normal(size=20_000))
    column = learn("quantile", values)
    made = column.apply(values)[:, 0]
    np.testing.assert_allclose(np.quantile(made, [0, 0.25, 0.5, 0.75, 1]), [-1, -0.5, 0, 0.5, 1], atol=0.01)
    outside = column.apply(np.array([-5.0, 1e30]))[:, 0]
    np.testing.assert_allclose(outside, [-1, 1])


def test_a_frequent_value_has_the_middle_of_its_levels() -> None:
    column = learn("quantile", np.array([0.0] * 600 + [1.0] * 400))
    np.testing.assert_allclose(column.apply(np.array([0.0, 1.0]))[:, 0], [-0.4, 0.6], atol=0.01)
    assert learn("quantile", np.array([NAN])).apply(np.array([3.0])).tolist() == [[0.0]]


def test_many_values_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "QUANTILE_VALUES", 5)
    column = learn("quantile", np.arange(12.0))
    assert set(np.array(column.knots)[[0, -1]]) == {0.0, 9.0}, "every third value"


def test_quantiles_keep_no_piece_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "QUANTILE_VALUES", 1000)
    pieces, size = 100, 10_000
    tracemalloc.start()
    DenseColumn.learn(
        "x", DenseOptions(transform="quantile"), (np.arange(size) / 2 for _ in range(pieces)), pieces * size
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * size * 8, "a few pieces, and what is kept of them"


def test_a_flag_says_what_is_missing() -> None:
    column = DenseColumn(name="x", transform="none", flag_missing=True)
    assert column.features == ("x", "x_missing")
    assert column.apply(np.array([2.5, NAN, 0.0])).tolist() == [[2.5, 0], [0, 1], [0, 0]]
    assert DenseColumn(name="x").features == ("x",)


def test_the_name_of_a_transform_stands_for_it() -> None:
    assert DenseOptions.model_validate("quantile") == DenseOptions(transform="quantile")
    assert DenseOptions.model_validate(None) == DenseOptions(transform="log")
    assert DenseOptions.model_validate({"flag_missing": True}).flag_missing


def test_each_knot_has_a_level() -> None:
    with pytest.raises(ValidationError, match="each knot needs a level, but there are 2 and 1"):
        DenseColumn(name="x", transform="quantile", knots=(1.0, 2.0), levels=(0.0,))


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        # 1997-12-04 15:55:49 UTC was a Thursday; one second before 1970 a Wednesday.
        ("hour", [881250949, -1, NAN], [15, 23, NAN]),
        ("weekday", [881250949, -1, NAN], [3, 2, NAN]),
        # 2014-10-21 was a Tuesday; 2000-02-30 was no day, 99 no hour.
        ("stamp_hour", [14102123, 14102200, 23000, 14102199, 1.4e18, -1, NAN], [23, 0, *[NAN] * 5]),
        ("stamp_weekday", [14102123, 14102200, 23000, 14102199, 1.4e18, -1, NAN], [1, 2, *[NAN] * 5]),
        ("decade", [1995, 7, NAN], [1990, 0, NAN]),
    ],
)
def test_derived(kind: str, source: list[float], expected: list[float]) -> None:
    column = DerivedColumn.model_validate({"name": "new", "source": "old", "kind": kind})
    np.testing.assert_array_equal(column.apply(pd.Series(source)), expected)


@pytest.mark.parametrize(("kind", "expected"), [("hour", [15, 23, NAN]), ("weekday", [3, 2, NAN])])
def test_derived_of_texts(kind: str, expected: list[float]) -> None:
    column = DerivedColumn.model_validate({"name": "new", "source": "old", "kind": kind, "format": "%d.%m.%Y %H:%M"})
    np.testing.assert_array_equal(column.apply(pd.Series(["04.12.1997 15:55", "31.12.1969 23:59", None])), expected)
    with pytest.raises(DataError, match=r"'old' must hold times of the format %d\.%m\.%Y %H:%M, but row 1"):
        column.apply(pd.Series(["1997-12-04"]))


def test_numbers_have_no_format() -> None:
    with pytest.raises(ValidationError, match="decade is made of numbers, and takes no format: take hour or weekday"):
        DerivedColumn.model_validate({"name": "new", "source": "old", "kind": "decade", "format": "%Y"})


@pytest.mark.parametrize("kind", ["hour", "weekday"])
def test_milliseconds_are_no_seconds(kind: str) -> None:
    column = DerivedColumn.model_validate({"name": "new", "source": "old", "kind": kind})
    with pytest.raises(DataError, match=r"'old' holds 881250949000, as milliseconds are: divide the column by 1000"):
        column.apply(pd.Series([881250949, NAN, 881250949000]))
    decade = DerivedColumn.model_validate({"name": "new", "source": "old", "kind": "decade"})
    assert decade.apply(pd.Series([881250949000])).tolist() == [881250949000]
