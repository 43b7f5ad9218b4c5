from dataclasses import replace
from html import unescape

import pytest

from nasrec_automl.report import CalibrationBin
from nasrec_automl.report.evaluation_content import Difference, Evaluation
from nasrec_automl.report.evaluation_page import differences, evaluation_headline, render_evaluation, with_error

FIRST = Evaluation(
    name="runs/<first>",
    log_loss=0.45,
    log_loss_error=0.004,
    auc=0.75,
    normalised_entropy=0.9,
    mean_probability=0.21,
    positive_rate=0.2,
    rows=1200,
    calibration=[CalibrationBin(predicted=0.1, observed=0.2, rows=1200)],
)


def other(log_loss: float, error: float | None = 0.001, **changes: float | None) -> Evaluation:
    less = Difference(log_loss=log_loss, log_loss_error=error, auc=-0.01, auc_error=0.002)
    return replace(FIRST, name="other", log_loss=0.45 + log_loss, less_first=replace(less, **changes))


@pytest.mark.parametrize(
    ("evaluations", "says"),
    [
        ([FIRST], "runs/<first> has a log loss of 0.4500 and an AUC of 0.7500 on 1,200 rows with a click rate of 0.2."),
        ([replace(FIRST, auc=None, rows=1)], "runs/<first> has a log loss of 0.4500 on 1 row with"),
        (
            [FIRST, other(-0.01)],
            "other has the lowest log loss of 2 models on 1,200 rows with a click rate of 0.2. "
            "It is 0.0100 ± 0.0010 nats below runs/<first>, more than two standard errors.",
        ),
        ([FIRST, other(-0.0015)], "It is 0.0015 ± 0.0010 nats below runs/<first>, which may be chance."),
        (
            [FIRST, other(0.5), other(0.01)],
            "runs/<first> has the lowest log loss of 3 models on 1,200 rows with a click rate of 0.2. "
            "The next, other, is 0.0100 ± 0.0010 above, more than two standard errors.",
        ),
        ([FIRST, other(0.0, error=0.0)], "The next, other, is 0.0000 ± 0.0000 above, which may be chance."),
        ([FIRST, other(0.01, error=None)], "The next, other, is 0.0100 above."),
    ],
)
def test_the_headline_says_which_model_is_best_and_how_surely(evaluations: list[Evaluation], says: str) -> None:
    assert says in evaluation_headline(evaluations)


def test_differences_are_drawn_with_two_errors_where_they_are_known() -> None:
    figure = differences([FIRST, other(-0.01), replace(other(0.02, auc=None, auc_error=None), name="third")])
    losses, aucs = figure.data
    assert (list(losses.y), list(losses.x), list(losses.error_x.array)) == (
        ["other", "third"],
        [-0.01, 0.02],
        [0.002, 0.002],
    )
    assert (list(aucs.y), list(aucs.x)) == (["other"], [-0.01])
    within = differences([FIRST, other(-0.01, group_auc=0.03, group_auc_error=0.01)]).data[2]
    assert (list(within.x), list(within.error_x.array)) == ([0.03], [0.02])


def test_the_page_names_every_model_as_it_is_called() -> None:
    page = render_evaluation([FIRST, other(-0.01)], rows="june.csv & july.csv")
    assert "june.csv &amp; july.csv" in page
    assert '<th scope="row">runs/&lt;first&gt;</th><td>0.4500 ± 0.0040</td><td>0.7500</td>' in page
    assert "<first>" not in page.replace("u003cfirst", "")
    assert "calibration" in page
    assert "Differences" in page
    assert "within" not in unescape(page).split("<body>")[1].split("Calibration")[0]


def test_a_single_model_has_no_differences_and_groups_are_counted() -> None:
    page = render_evaluation([replace(FIRST, group_auc=0.61, groups=40)], rows="june.csv", group="user <id>")
    assert "Differences" not in page
    assert "AUC within<br>user &lt;id&gt;" in page
    assert "<td>0.6100</td>" in page
    assert "the mean over its 40 values" in page


@pytest.mark.parametrize(
    ("value", "error", "sign", "text"),
    [
        (None, None, "", "n/a"),
        (0.5, None, "+", "+0.5000"),
        (0.5, 0.01, "", "0.5000 ± 0.0100"),
        (0.5, 0.0, "", "0.5000 ± 0.0000"),
        (-0.00012345, 0.000045, "+", "-0.000123 ± 0.000045"),
    ],
)
def test_small_errors_get_two_digits(value: float | None, error: float | None, sign: str, text: str) -> None:
    assert with_error(value, error, sign) == text
