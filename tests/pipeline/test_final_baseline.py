"""The baseline of the final stage: its rows, and what a stage that was killed has left of it."""

from typing import Any

import numpy as np
import pytest

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part
from nasrec_automl.evaluation.baseline import fit_baseline, tune_baseline
from nasrec_automl.pipeline import final_baseline as module
from nasrec_automl.pipeline.final_baseline import final_baseline
from nasrec_automl.pipeline.run_folder import RunFolder


def kill(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_of_many_rows_it_is_fitted_on_some(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BASELINE_ROWS", 500)
    data = PreparedData.open(copied_run.data, test=True)
    baseline, noted = final_baseline(copied_run, data)
    schema, seed = data.schema(), copied_run.job.seed
    some = data.part(*TRAINING, *VALIDATION).sample(500, seed)
    tuned = tune_baseline(data.part(*TRAINING).sample(500, seed), data.part(Part.HPO), schema, seed=seed)
    expected = fit_baseline(some, schema, strength=tuned.strength)
    choice = tuned.measure(data.part(Part.CHOICE))
    assert noted == {
        "name": "logistic regression",
        "rows": 500,
        "validation": {"log_loss": choice.log_loss, "auc": choice.auc},
    }
    np.testing.assert_array_equal(baseline.coefficients, expected.coefficients)


def test_of_few_rows_it_is_fitted_on_all(copied_run: RunFolder) -> None:
    data = PreparedData.open(copied_run.data)
    _, noted = final_baseline(copied_run, data)
    assert noted["rows"] == len(data.part(*TRAINING, *VALIDATION))


@pytest.mark.parametrize("killed_at", ["fit_baseline", "choice_parts"])
def test_a_fit_that_ended_is_not_done_again(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    data = PreparedData.open(copied_run.data, test=True)
    unbroken, noted = final_baseline(copied_run, data)
    for path in copied_run.final_trainings.iterdir():
        path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(module, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            final_baseline(copied_run, data)
    done = ["tune_baseline"] if killed_at == "fit_baseline" else ["tune_baseline", "fit_baseline"]
    for name in done:
        monkeypatch.setattr(module, name, kill)
    again, noted_again = final_baseline(copied_run, data)
    assert noted_again == noted
    test = data.part(Part.TEST)
    np.testing.assert_array_equal(again.logits(test), unbroken.logits(test))
