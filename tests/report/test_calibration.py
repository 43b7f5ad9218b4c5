import math

import numpy as np
import pytest

from nasrec_automl.report import calibration_bins
from nasrec_automl.report.calibration import rate_error


def test_bins_hold_every_row_once_and_keep_the_means():
    rng = np.random.default_rng(0)
    predicted = rng.random(1003)
    labels = rng.random(1003) < predicted
    bins = calibration_bins(labels, predicted)
    rows = np.array([each.rows for each in bins])
    assert rows.sum() == 1003
    assert rows.max() - rows.min() <= 1
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    assert rows @ [each.observed for each in bins] == pytest.approx(labels.sum())
    assert rows @ [each.predicted for each in bins] == pytest.approx(predicted.sum())


@pytest.mark.parametrize("weights", [None, np.ones(100)])
def test_rows_of_one_prediction_stay_together(weights):
    labels = np.arange(100) >= 50  # in the order of the rows: cut into bins, they would rise
    (alone,) = calibration_bins(labels, np.full(100, 0.3), weights)
    assert (alone.observed, alone.rows) == (0.5, 100)
    bins = calibration_bins(labels, np.where(np.arange(100) % 2, 0.2, 0.7), weights, bins=5)
    assert [(each.predicted, each.observed, each.rows) for each in bins] == [
        (pytest.approx(0.2), 0.5, 50),
        (pytest.approx(0.7), 0.5, 50),
    ]


def test_calibrated_predictions_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    predicted = rng.random(200_000)
    for each in calibration_bins(rng.random(200_000) < predicted, predicted):
        assert each.observed == pytest.approx(each.predicted, abs=0.02)


def test_fewer_rows_than_bins_and_no_rows():
    assert [each.rows for each in calibration_bins([0, 1], [0.2, 0.1])] == [1, 1]
    assert calibration_bins([], []) == ()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected labels and probabilities of one shape"):
        calibration_bins([0, 1], [0.5])


def test_weights_count_in_the_means_and_their_errors():
    rng = np.random.default_rng(0)
    predicted, weight = rng.random(400), rng.integers(4, size=400)
    labels = rng.random(400) < predicted
    (whole,) = calibration_bins(labels, predicted, weight, bins=1)
    (repeated,) = calibration_bins(labels.repeat(weight), predicted.repeat(weight), bins=1)
    assert whole.predicted == pytest.approx(repeated.predicted)
    assert whole.observed == pytest.approx(repeated.observed)
    assert whole.rows == (weight > 0).sum()
    assert sum(each.rows for each in calibration_bins(labels, predicted, weight)) == whole.rows
    # A row is one observation: copies are fewer observations than as many rows.
    assert whole.error > 1.1 * math.sqrt(repeated.observed * (1 - repeated.observed) / repeated.rows)


def test_equal_weights_change_nothing():
    rng = np.random.default_rng(0)
    labels, predicted = rng.random(100) < 0.3, rng.random(100)
    for one, other in zip(
        calibration_bins(labels, predicted), calibration_bins(labels, predicted, np.full(100, 2.0)), strict=True
    ):
        assert (other.predicted, other.observed) == pytest.approx((one.predicted, one.observed))
        spread = math.sqrt(one.observed * (1 - one.observed) / one.rows)
        assert other.error == pytest.approx(spread or rate_error(one.observed, one.rows))
        assert one.error is None


@pytest.mark.parametrize("clicked", [0, 1])
def test_a_weighted_bin_of_one_outcome_has_an_error(clicked):
    for weight, rows in (([3] * 50, 50), ([9] * 15 + [1e-6] * 85, 15)):
        labels = np.full(len(weight), clicked)
        (alone,) = calibration_bins(labels, np.full(len(weight), 0.3), weight)
        assert alone.observed == pytest.approx(clicked)
        assert alone.error == pytest.approx(rate_error(clicked, rows))
        assert alone.error > 0.01


def test_every_row_needs_a_weight():
    with pytest.raises(ValueError, match=r"expected weights of the labels' shape \(2,\), got \(1,\)"):
        calibration_bins([0, 1], [0.5, 0.5], [1.0])
