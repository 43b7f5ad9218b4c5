"""The baselines of the final stage: their rows, and what is measured of them."""

import numpy as np
import pytest

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, VALIDATION, Part
from nasrec_automl.evaluation.boosting import fit_boosting, tune_boosting
from nasrec_automl.evaluation.logistic import fit_logistic, tune_logistic
from nasrec_automl.pipeline import final_baselines as module
from nasrec_automl.pipeline.final_baselines import final_baselines
from nasrec_automl.pipeline.run_folder import RunFolder


def test_of_many_rows_they_are_fitted_on_some(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BASELINE_ROWS", 500)
    monkeypatch.setattr(module, "ENDING_ROWS", 20)
    data = PreparedData.open(copied_run.data, test=True)
    boosting, logistic = final_baselines(copied_run, data)
    schema, seed, hpo = data.schema(), copied_run.job.seed, data.part(Part.HPO)
    train = data.part(*TRAINING).sample(500, seed)

    line = tune_logistic(train, hpo, schema, seed=seed)
    expected = fit_logistic(data.part(*TRAINING, *VALIDATION).sample(500, seed), schema, strength=line.strength)
    assert (logistic.name, logistic.rows) == ("logistic regression", 500)
    assert logistic.validation == line.measure(data.part(Part.CHOICE)).quality
    np.testing.assert_array_equal(logistic.model.coefficients, expected.coefficients)

    ending = hpo.sample(20, seed)
    trees = tune_boosting(train, ending, schema, seed=seed)
    grown = fit_boosting(data.part(*FINAL).sample(500, seed), ending, schema, trees.settings, seed=seed)
    assert (boosting.name, boosting.rows) == ("gradient boosting", 500)
    assert boosting.validation == trees.measure(data.part(Part.CHOICE)).quality
    test = data.part(Part.TEST)
    np.testing.assert_array_equal(boosting.model.logits(test), grown.logits(test))


def test_of_few_rows_they_are_fitted_on_all(copied_run: RunFolder) -> None:
    data = PreparedData.open(copied_run.data)
    boosting, logistic = final_baselines(copied_run, data)
    assert boosting.rows == data.rows(*FINAL)
    assert logistic.rows == data.rows(*TRAINING, *VALIDATION)
