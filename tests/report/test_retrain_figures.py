import math
from dataclasses import replace

import pytest

from nasrec_automl.report import RetrainTrial
from nasrec_automl.report.retrain_figures import retrain_curves, settings_figure
from nasrec_automl.report.style import SEQUENCE
from tests.report.conftest import HYPER


def trial(number=0, log_loss=0.5, **changes):
    values = {
        "number": number,
        "architecture": "a",
        "log_loss": log_loss,
        "state": "complete",
        "hyper": replace(HYPER, **{name: changes.pop(name) for name in [*changes] if hasattr(HYPER, name)}),
        "curve": ((1, 0.6), (2, 0.5)),
    }
    return RetrainTrial(**values | changes)


def test_each_trial_with_a_value_appears_once_in_each_panel(full_content):
    trials = full_content().retrain
    figure = settings_figure(trials)
    valued = [each.number for each in trials if each.log_loss is not None]
    for axis in ("x", "x2", "x3", "x4"):
        drawn = [row[0] for trace in figure.data if (trace.xaxis or "x") == axis for row in trace.customdata]
        assert sorted(drawn) == valued
    assert figure.layout.yaxis.title.text == "log loss (nats)"


def test_the_best_architectures_have_colours_of_their_own_and_the_others_one():
    trials = [trial(n, 0.5 + (n * 5 % 9) / 100, architecture=f"a{n}", curve=((1, 0.6),)) for n in range(9)]
    traces = settings_figure(trials).data[:9]
    assert [trace.name for trace in traces] == ["a0", "a2", "a4", "a6", "a8", "a1", "a3", "a5", "a7"]
    colors = [trace.marker.color for trace in traces]
    assert len(set(colors[:6])) == 6
    assert {*colors[6:]} == {SEQUENCE[-1]}
    assert {trace.name: trace.line.color for trace in retrain_curves(trials).data} == dict(
        zip((trace.name for trace in traces), colors, strict=True)
    )


def test_marks_tell_how_a_trial_ended_and_whether_it_lies_higher():
    trials = [trial(n, 0.5 + n / 1000) for n in range(9)] + [trial(9, 0.501, state="pruned"), trial(10, 4.0)]
    first = settings_figure(trials).data[0]
    assert list(first.marker.symbol) == ["circle"] * 9 + ["circle-open", "triangle-up"]
    assert max(first.y) < 1
    assert first.customdata[10][3] == 4.0


def test_zero_weight_decay_has_a_place_on_the_logarithmic_axis():
    figure = settings_figure([trial(), trial(1, weight_decay=1e-4), trial(2, weight_decay=1e-6)])
    axis = figure.layout.xaxis2
    assert axis.type == "log"
    assert axis.ticktext[0] == "0"
    assert list(figure.data[1].x) == [axis.tickvals[0], 1e-4, 1e-6]
    assert settings_figure([trial()]).layout.xaxis2.type is None


def test_settings_that_are_seldom_searched_have_panels_where_trials_differ():
    titles = [axis.title.text for axis in settings_figure([trial(), trial(1)]).select_xaxes()]
    assert titles == ["learning rate", "weight decay", "dropout", "batch size"]
    different = [trial(), trial(1, optimizer="adam", table_cap=1000), trial(2, table_cap=100, embedding_decay=1e-4)]
    figure = settings_figure(different)
    further = ["embedding decay", "optimizer", "table cap"]
    assert [axis.title.text for axis in figure.select_xaxes()] == [*titles, *further]
    assert list(figure.data[-2].x) == ["adagrad", "adam", "adagrad"]
    assert list(figure.data[-1].x) == ["none", "1,000", "100"]
    assert list(figure.layout.xaxis7.categoryarray) == ["100", "1,000", "none"]
    figure = settings_figure([trial(), trial(1, layer_norm=False)])
    assert [axis.title.text for axis in figure.select_xaxes()] == [*titles, "layer norm"]
    assert list(figure.data[-1].x) == ["yes", "no"]


def test_the_best_curve_is_thick_and_stopped_ones_are_dotted():
    figure = retrain_curves([trial(0, 0.5), trial(1, 0.4), trial(2, 0.3, state="pruned"), trial(3, None, curve=())])
    assert [trace.line.width > 2 for trace in figure.data] == [False, True, False]
    assert [trace.line.dash for trace in figure.data] == ["solid", "solid", "dot"]
    assert [trace.showlegend for trace in figure.data] == [True, False, False]


@pytest.mark.parametrize("trials", [[], [trial(log_loss=None, curve=())], [trial(log_loss=math.nan, curve=())]])
def test_nothing_to_draw_is_a_note(trials):
    assert not settings_figure(trials).data
    assert not retrain_curves(trials).data
