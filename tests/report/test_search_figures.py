from dataclasses import replace

import pytest

from nasrec_automl.report.search_figures import cost_figures, score_against, search_history
from nasrec_automl.report.summary import best_so_far, pareto_front


@pytest.fixture
def content(full_content):
    return full_content()


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("draw", [search_history, score_against])
def test_every_architecture_is_drawn_once(draw, content):
    traces = by_name(draw(content.search, content.winner_name))
    drawn = [
        row[1]
        for name, trace in traces.items()
        if trace.mode == "markers" and name != "winner"
        for row in trace.customdata
    ]
    assert sorted(drawn) == [each.number for each in content.search]


def test_history_has_the_best_so_far_and_the_keys(content):
    traces = by_name(search_history(content.search, content.winner_name))
    assert list(traces["best so far"].y) == best_so_far([each.log_loss for each in content.search])
    assert {row[0] for row in traces["searched"].customdata} <= {each.key for each in content.search}
    assert "%{customdata[0]}" in traces["searched"].hovertemplate


def test_each_cost_has_a_figure_and_several_mark_their_front(content):
    search = [replace(each, latency_ms=1.0 + each.number) for each in content.search]
    assert [*cost_figures(search, "")] == ["macs"]
    marks = "on the front of all objectives"
    assert marks not in by_name(cost_figures(search, "", ["macs"])["macs"])
    figures = cost_figures(search, "", ["latency_ms", "parameters"])
    assert [*figures] == ["macs", "latency_ms", "parameters"]
    front = [each.number for each in pareto_front(search, ["latency_ms", "parameters"])]
    for figure in figures.values():
        assert [row[1] for row in by_name(figure)[marks].customdata] == front


def test_the_hover_says_latency_and_rows_where_they_are_known(content):
    first = content.search[10]
    some = [first, replace(first, rows=50, latency_ms=1.25), replace(first, rows=5, stopped=True)]
    [trace] = [t for t in search_history(some, "").data if t.name == "searched"]
    assert [row[6] for row in trace.customdata] == [
        "",
        "<br>1.25 ms<br>scored on 50 rows",
        "<br>estimated from 5 rows",
    ]


def test_what_a_user_added_has_no_error_on_hover_and_no_band(content):
    own = content.search[10]
    added = replace(own, log_loss=0.1, standard_error=None, auc=None)
    figure = search_history([added], "")
    [trace] = [t for t in figure.data if t.name == "searched"]
    assert trace.customdata[0][3] == ""
    assert not figure.layout.shapes
    [trace] = [t for t in search_history([own], "").data if t.name == "searched"]
    assert trace.customdata[0][3] == f" ± {own.standard_error:.5f}<br>AUC {own.auc:.4f}"


def test_hand_designs_and_winner_are_marked(content):
    traces = by_name(search_history(content.search, content.winner_name))
    assert [list(traces[hand].x) for hand in ("mlp", "dlrm-like", "deepfm-like")] == [[0], [1], [2]]
    assert traces["winner"].customdata[0][0] == content.winner_name


def test_a_winner_beyond_the_edge_is_marked_there(content):
    traces = by_name(search_history(content.search, content.search[57].key))
    assert traces["winner"].customdata[0][1] == 57
    assert list(traces["winner"].y) == list(traces["higher than drawn"].y)


def test_a_far_outlier_stands_at_the_edge_with_its_true_score(content):
    outlier = by_name(search_history(content.search, content.winner_name))["higher than drawn"]
    assert [list(row[1:3]) for row in outlier.customdata] == [[57, 0.693]]
    assert outlier.y[0] < 0.6


@pytest.mark.parametrize(
    ("name", "axis"),
    [("macs", "multiply-adds per example"), ("parameters", "parameters"), ("latency_ms", "latency (ms)")],
)
def test_any_cost_has_its_front(name, axis, content):
    search = [replace(each, latency_ms=each.macs / 7 if each.number % 2 else None) for each in content.search]
    figure = score_against(search, content.winner_name, name)
    drawn = by_name(figure)["Pareto front"]
    front = pareto_front(search, [name])
    assert list(zip(drawn.x, drawn.y, strict=True)) == [(getattr(each, name), each.log_loss) for each in front[::-1]]
    assert list(drawn.x) == sorted(drawn.x)
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.title.text == axis
    points = sum(len(t.x) for t in figure.data if t.mode == "markers" and t.name != "winner")
    assert points == (len(search) // 2 if name == "latency_ms" else len(search))
    assert not score_against(content.search, content.winner_name, "latency_ms").data


def test_a_far_outlier_on_the_front_is_drawn_at_the_edge(content):
    """Else the front's line would press all other points into one."""
    cheapest = [replace(each, macs=1) if each.number == 57 else each for each in content.search]
    traces = by_name(score_against(cheapest, content.winner_name, marked=[e for e in cheapest if e.number == 57]))
    [edge] = traces["higher than drawn"].y
    assert traces["Pareto front"].x[0] == 1
    assert traces["Pareto front"].y[0] == edge < 0.6
    assert list(traces["on the front of all objectives"].y) == [edge]


def test_the_front_of_all_objectives_is_marked(content):
    marked = content.search[3:6]
    traces = by_name(score_against(content.search, content.winner_name, "macs", marked=marked))
    assert list(traces["on the front of all objectives"].x) == [each.macs for each in marked]


@pytest.mark.parametrize("draw", [search_history, score_against])
def test_one_architecture_and_none(draw, content):
    assert draw(content.search[:1], "mlp").data
    assert not draw([], "mlp").data
