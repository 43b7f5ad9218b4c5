import numpy as np
import pandas as pd
import pytest

from nasrec_automl.data.columns import DenseColumn, DerivedColumn

NAN = float("nan")


def test_log_is_that_of_the_positive_part() -> None:
    column = DenseColumn(name="x", transform="log")
    made = column.apply(pd.Series([0.0, np.e - 1, -4.0, NAN]))
    np.testing.assert_allclose(made, [0.0, 1.0, 0.0, 0.0])


def test_standardise_puts_missing_at_the_mean() -> None:
    column = DenseColumn.fit(pd.Series([2.0, 4.0, NAN, 6.0]), "x", "standardise")
    made = column.apply(pd.Series([2.0, 4.0, NAN, 6.0]))
    assert made[2] == 0
    np.testing.assert_allclose([made.mean(), made[[0, 1, 3]].std()], [0, 1], atol=1e-12)


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1], [NAN, NAN], [1e-200, 2e-200]])
def test_standardise_divides_by_no_zero(values: list[float]) -> None:
    column = DenseColumn.fit(pd.Series(values), "x", "standardise")
    assert np.abs(column.apply(pd.Series(values))).max() < 1e-9


def test_dense_values_stay_finite_in_float32() -> None:
    column = DenseColumn(name="x", transform="standardise", std=1e-30)
    assert np.isfinite(column.apply(pd.Series([3e38])).astype(np.float32)).all()


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        # 1997-12-04 15:55:49 UTC was a Thursday; one second before 1970 a Wednesday.
        ("hour", [881250949, -1, NAN], [15, 23, NAN]),
        ("weekday", [881250949, -1, NAN], [3, 2, NAN]),
        # 2014-10-21 was a Tuesday; 2000-02-30 was no day.
        ("stamp_hour", [14102123, 14102200, NAN], [23, 0, NAN]),
        ("stamp_weekday", [14102123, 14102200, 23000, NAN], [1, 2, NAN, NAN]),
        ("decade", [1995, 7, NAN], [1990, 0, NAN]),
    ],
)
def test_derived(kind: str, source: list[float], expected: list[float]) -> None:
    column = DerivedColumn.model_validate({"name": "new", "source": "old", "kind": kind})
    np.testing.assert_array_equal(column.apply(pd.Series(source)), expected)
