import numpy as np
import pytest

from nasrec_automl.report import calibration_bins


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
