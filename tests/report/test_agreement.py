from dataclasses import replace

import pytest

from nasrec_automl.report.agreement import score_against_retrained
from nasrec_automl.report.summary import agreement_in_words, retrained_best


def test_every_retrained_architecture_is_a_point(full_content):
    content = full_content()
    figure = score_against_retrained(content.search, content.retrain)
    best = retrained_best(content.retrain)
    scores = {each.name: each for each in content.search}
    drawn = {
        name: (x, y, error)
        for trace in figure.data
        for name, x, y, error in zip(trace.text, trace.x, trace.y, trace.error_x.array, strict=True)
    }
    assert drawn == {name: (scores[name].log_loss, loss, scores[name].standard_error) for name, loss in best.items()}
    assert {trace.name for trace in figure.data} == {"searched", "hand designs"}
    assert figure.layout.annotations[0].text.endswith(f"over {len(best)} of {len(best)} architectures")


def test_a_score_without_an_error_is_a_point_without_a_bar(full_content):
    content = full_content()
    search = [replace(each, standard_error=None) for each in content.search]
    figure = score_against_retrained(search, content.retrain)
    assert {error for trace in figure.data for error in trace.error_x.array} == {None}
    assert '"array":[null' in figure.to_json()


@pytest.mark.parametrize(
    ("retrained", "tau"), [("12345", "1.00"), ("54321", "-1.00"), ("12354", "0.80"), ("1234", None), ("11111", None)]
)
def test_tau_counts_pairs_in_the_same_order(full_content, retrained, tau):
    content = full_content(architectures=8)
    search = [replace(each, log_loss=number / 10, hand=None) for number, each in enumerate(content.search)]
    trial = replace(content.retrain[0], state="complete")
    retrain = [replace(trial, architecture=search[i].key, log_loss=float(loss)) for i, loss in enumerate(retrained)]
    retrain.append(replace(trial, architecture="not scored", log_loss=0.1))
    expected = "" if tau is None else f"Kendall's τ = {tau} over 5 of 6 architectures"
    assert agreement_in_words(search, retrain) == expected
    assert score_against_retrained(search, retrain).layout.annotations[0].text == expected


def test_nothing_retrained_is_said(full_content):
    content = full_content()
    assert "No architecture" in score_against_retrained(content.search, []).layout.annotations[0].text
    failed = [replace(trial, state="failed") for trial in content.retrain]
    assert not score_against_retrained(content.search, failed).data
