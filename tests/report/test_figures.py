import pytest

from nasrec_automl.report import CalibrationBin, CurvePoint
from nasrec_automl.report.figures import calibration, supernet_curves


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


def test_supernet_curves_are_drawn_by_step():
    points = [
        CurvePoint(step=20, log_loss=0.5, auc=0.8),
        CurvePoint(step=10, log_loss=0.6, auc=0.7, train_loss=0.55),
    ]
    traces = by_name(supernet_curves(points))
    assert list(traces["log loss, validation"].x) == [10, 20]
    assert list(traces["log loss, validation"].y) == [0.6, 0.5]
    assert list(traces["AUC, validation"].y) == [0.7, 0.8]
    assert list(traces["log loss, training batches"].x) == [10]


def test_supernet_curves_without_training_losses():
    assert "log loss, training batches" not in by_name(supernet_curves([CurvePoint(step=1, log_loss=0.5, auc=0.8)]))


def test_axes_have_units(full_content):
    layout = supernet_curves(full_content().supernet).layout
    assert layout.yaxis.title.text == "log loss (nats)"
    assert layout.yaxis2.title.text == "AUC"


def test_calibration_shows_bins_diagonal_and_rows():
    bins = [
        CalibrationBin(predicted=0.4, observed=0.5, rows=100),
        CalibrationBin(predicted=0.1, observed=0.1, rows=50),
        CalibrationBin(predicted=0.9, observed=0.0, rows=0),
    ]
    diagonal, points, rows = calibration({"winner": bins}).data
    assert list(diagonal.x) == list(diagonal.y)
    assert list(points.x) == [0.1, 0.4]
    assert list(points.y) == [0.1, 0.5]
    assert list(points.error_y.array)[1] == pytest.approx(2 * (0.5 * 0.5 / 104) ** 0.5)
    assert list(rows.y) == [50, 100]


def test_each_model_has_a_calibration_curve_in_its_own_colour():
    one = [CalibrationBin(predicted=0.1, observed=0.1, rows=50)]
    two = [CalibrationBin(predicted=x, observed=y, rows=rows) for x, y, rows in ((0.2, 0.4, 60), (0.1, 0.3, 7))]
    figure = calibration({"a<b": one, "other": two})
    _, first, first_rows, second, second_rows = figure.data
    assert [first.name, second.name] == ["a&lt;b", "other"]
    assert (list(second.x), list(second.y), list(second_rows.y)) == ([0.1, 0.2], [0.3, 0.4], [7, 60])
    assert first.line.color == first_rows.marker.color != second.line.color == second_rows.marker.color
    assert figure.layout.yaxis.range[1] == pytest.approx(0.4 * 1.08)


def test_nothing_to_draw_is_a_note():
    assert not supernet_curves([]).data
    assert not calibration({}).data
    assert not calibration({"winner": []}).data


def test_a_bin_without_a_click_has_an_error_too():
    bins = [
        CalibrationBin(predicted=0.01, observed=0.0, rows=100),
        CalibrationBin(predicted=0.2, observed=0.2, rows=100),
    ]
    errors = calibration({"winner": bins}).data[1].error_y.array
    assert 0.02 < errors[0] < 0.06
    assert errors[1] == pytest.approx(2 * (0.2 * 0.8 / 100) ** 0.5, rel=0.05)
