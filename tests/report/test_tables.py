from nasrec_automl.report import ResultRow, ScoredArchitecture
from nasrec_automl.report.tables import (
    fact_table,
    front_table,
    head_cell,
    key_numbers,
    left_cell,
    result_table,
    short,
    table,
)


def row(name="w", kind="search", **values):
    return ResultRow(**{"name": name, "kind": kind, "wins": name == "w", "log_loss": 0.51234, "auc": 0.7} | values)


def test_the_best_of_each_column_is_bold():
    html = result_table([row(test_auc=0.8, macs=1234567), row("b", "baseline", log_loss=0.4, auc=0.6, test_auc=0.7)])
    assert [value in html for value in ("<b>0.4000</b>", "<b>0.7000</b>", "<b>0.8000</b>")] == [True] * 3
    assert html.count("<b>") == 3
    assert "<td>1,234,567</td>" in html
    assert "<td>0.5123</td>" in html


def test_names_and_facts_are_escaped():
    assert "<i>" not in result_table([row("<i>")]) + fact_table({"<i>": "<i>"})
    assert fact_table({"a & b": "<1>"}).count("a &amp; b") == 1


def test_key_numbers_are_of_test_where_it_was_measured():
    assert "validation AUC" in key_numbers(row())
    html = key_numbers(row(test_auc=0.81, test_log_loss=0.49, macs=1_464_700, parameters=950))
    for text in ("test AUC", "0.8100", "0.4900", "1.46 M", "950"):
        assert text in html


def test_counts_keep_three_digits():
    assert [short(n) for n in (12, 1_500, 64_300, 999_000, 2_000_000_000)] == [
        "12",
        "1.50 k",
        "64.3 k",
        "999 k",
        "2.00 G",
    ]


def test_nothing_says_so():
    assert "Nothing has been measured" in result_table([])
    assert "No facts" in fact_table({})
    assert key_numbers(None) == ""


def test_the_front_names_each_architecture_with_its_costs():
    points = [
        ScoredArchitecture(
            number=i,
            key=f"<{i}>",
            log_loss=0.5 + i / 100,
            standard_error=0.01,
            auc=0.75,
            macs=12_345,
            parameters=1_000_000,
            latency_ms=latency,
        )
        for i, latency in enumerate((1.23456, None))
    ]
    html = front_table(points, ["macs", "latency_ms"])
    first, second = html.split("<tr>")[2:]
    assert "&lt;0&gt;</th><td>0.5000</td><td>0.7500</td><td>12,345</td><td>1.23</td>" in first
    assert "&lt;1&gt;</th><td>0.5100</td><td>0.7500</td><td>12,345</td><td>&ndash;</td>" in second
    assert "1,000,000" not in html
    assert "scored no architecture" in front_table([], ["macs"])


def test_a_head_stands_where_the_cells_below_it_do():
    html = table(["what", "so<br>much", "why"], [[head_cell("<a>"), "1", left_cell("b & c")]])
    assert '<th class="kind">what</th><th>so<br>much</th><th class="kind">why</th>' in html
    assert "&lt;a&gt;</th><td>1</td><td class='kind'>b &amp; c</td></tr></tbody>" in html
    assert "<th>what</th>" in table(["what"], [])


def test_the_winner_has_a_kind_too():
    assert ">winner, hand design<" in result_table([row(kind="hand design")])
    html = result_table([row(kind="predictor"), row("b", kind="hand design")])
    assert [html.count(kind) for kind in (">winner, predictor<", ">hand design<", "winner,")] == [1, 1, 1]
    assert html.count('<tr class="winner">') == 1
