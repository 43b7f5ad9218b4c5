from dataclasses import asdict

from nasrec_automl.report import CalibrationBin
from nasrec_automl.report.evaluation_content import Difference, Evaluation


def test_as_a_dict_all_is_plain():
    bins = (CalibrationBin(predicted=0.1, observed=0.2, rows=3),)
    less = Difference(log_loss=-0.1, log_loss_error=0.05, auc=None, auc_error=None)
    one = Evaluation(
        name="a",
        log_loss=0.5,
        log_loss_error=None,
        auc=None,
        normalised_entropy=None,
        mean_probability=0.3,
        positive_rate=0.2,
        rows=3,
        calibration=bins,
        less_first=less,
    )
    written = asdict(one)
    assert written["calibration"] == ({"predicted": 0.1, "observed": 0.2, "rows": 3, "error": None},)
    assert written["less_first"]["log_loss"] == -0.1
    assert written["groups"] is None
