from dataclasses import replace

import pytest

from nasrec_automl.report.agreement import agreement_in_words, score_against_retrained
from nasrec_automl.report.summary import retrained_best


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
    assert figure.layout.annotations[0].text.endswith(f"over {len(best)} architectures")


@pytest.mark.parametrize(("retrained", "tau"), [("1234", "1.00"), ("4321", "-1.00"), ("1243", "0.67")])
def test_tau_counts_pairs_in_the_same_order(retrained, tau):
    assert (
        agreement_in_words([0.1, 0.2, 0.3, 0.4], [float(digit) for digit in retrained])
        == f"Kendall's τ = {tau} over 4 architectures"
    )


def test_one_architecture_and_equal_values_have_no_tau():
    assert agreement_in_words([0.1], [0.2]) == agreement_in_words([0.1, 0.1], [0.2, 0.3])
    assert "too few" in agreement_in_words([], [])


def test_nothing_retrained_is_said(full_content):
    content = full_content()
    assert "No architecture" in score_against_retrained(content.search, []).layout.annotations[0].text
    failed = [replace(trial, state="failed") for trial in content.retrain]
    assert not score_against_retrained(content.search, failed).data
