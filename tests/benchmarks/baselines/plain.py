"""Baselines without a network: those that every run fits, tuned further."""

from dataclasses import asdict
from typing import Any, ClassVar

import optuna

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.boosting import BoostingSettings, fit_boosting
from nasrec_automl.evaluation.logistic import fit_logistic
from tests.benchmarks.baselines.method import Fitted, Method, Report


class Linear(Method):
    """Logistic regression over one-hot ids and dense features."""

    name = "logistic regression"
    defaults: ClassVar[dict[str, Any]] = {"strength": 0.3}
    trials = 20
    seeded = False

    def suggest(self, trial: optuna.Trial) -> None:
        trial.suggest_float("strength", 1e-3, 30, log=True)

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        return Fitted(fit_logistic(rows, self.schema, strength=params["strength"]).logits, 0)


class Boosting(Method):
    """Histogram gradient boosting."""

    name = "gradient boosting"
    defaults: ClassVar[dict[str, Any]] = asdict(BoostingSettings())

    def suggest(self, trial: optuna.Trial) -> None:
        trial.suggest_float("learning_rate", 0.02, 0.3, log=True)
        trial.suggest_int("max_leaf_nodes", 4, 128, log=True)
        trial.suggest_int("min_samples_leaf", 5, 300, log=True)
        trial.suggest_float("l2_regularization", 1e-2, 100, log=True)
        trial.suggest_float("max_features", 0.2, 1.0)
        trial.suggest_float("smooth", 1, 300, log=True)

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        fitted = fit_boosting(rows, validation, self.schema, BoostingSettings(**params), seed=seed)
        return Fitted(fitted.logits, fitted.iterations)
