import numpy as np
import pytest
from numpy.typing import NDArray

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import Baseline
from nasrec_automl.testing.examples import make_rows, tiny_schema
from nasrec_automl.training.metrics import measure, targets


class FirstNumber(Baseline):
    def __init__(self) -> None:
        self.seen: list[int] = []

    def _logits(self, rows: Rows) -> NDArray[np.float64]:
        self.seen.append(len(rows))
        dense, _, _ = rows.batch(slice(0, len(rows)))
        return dense[:, 0].double().numpy()


def test_rows_are_read_a_slice_at_a_time_and_all_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.evaluation.baseline._ROWS_AT_ONCE", 40)
    rows, baseline = make_rows(tiny_schema(), 100), FirstNumber()
    logits = baseline.logits(rows)
    assert baseline.seen == [40, 40, 20]
    np.testing.assert_array_equal(logits, rows.batch(slice(0, 100))[0][:, 0].double())
    assert baseline.measure(rows) == measure(logits, *targets(rows))
