"""Baselines without a network: logistic regression and histogram gradient boosting, both of scikit-learn."""

from itertools import islice
from typing import Any, ClassVar

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from torch import Tensor

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import fit_baseline
from tests.benchmarks.baselines.method import Fitted, Method, Report

_BINS = 255
"""Most categories that the trees take as they are."""
_ITERATIONS, _PATIENCE = 1000, 30


class Linear(Method):
    """Logistic regression over one-hot ids and dense features, as every run fits it."""

    name = "logistic regression"
    defaults: ClassVar[dict[str, Any]] = {"strength": 0.3}
    trials = 20
    seeded = False

    def suggest(self, trial: optuna.Trial) -> None:
        trial.suggest_float("strength", 1e-3, 30, log=True)

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        return Fitted(fit_baseline(rows, self.schema, strength=params["strength"]).logits, 0)


class Boosting(Method):
    """Histogram gradient boosting.

    Columns of at most 255 ids are categories to the trees. A larger one becomes the smoothed mean label of its id,
    learned on the training rows alone and cross-fitted: no row's own label is in its feature.
    """

    name = "gradient boosting"
    defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 0.1,
        "leaves": 31,
        "smallest_leaf": 20,
        "l2": 1.0,
        "max_features": 1.0,
        "smooth": 20.0,
    }

    def suggest(self, trial: optuna.Trial) -> None:
        trial.suggest_float("learning_rate", 0.02, 0.3, log=True)
        trial.suggest_int("leaves", 4, 128, log=True)
        trial.suggest_int("smallest_leaf", 5, 300, log=True)
        trial.suggest_float("l2", 1e-2, 100, log=True)
        trial.suggest_float("max_features", 0.2, 1.0)
        if self._large().any():
            trial.suggest_float("smooth", 1, 300, log=True)

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        encoder = self._encoder(params, seed)
        model = self._model(params, seed, early_stopping=True, max_iter=_ITERATIONS, n_iter_no_change=_PATIENCE)
        model.fit(
            self._features(encoder, rows, fit=True),
            np.asarray(rows.label),
            X_val=self._features(encoder, validation),
            y_val=np.asarray(validation.label),
        )
        best = max(1, int(np.argmax(model.validation_score_)))  # its first entry is of no iteration at all
        return Fitted(lambda some: self._logits(model, encoder, some, best), best)

    def _model(self, params: dict[str, Any], seed: int, **options: Any) -> HistGradientBoostingClassifier:
        small = len(self.schema.dense) + np.arange((~self._large()).sum())
        return HistGradientBoostingClassifier(
            learning_rate=params["learning_rate"],
            max_leaf_nodes=params["leaves"],
            min_samples_leaf=params["smallest_leaf"],
            l2_regularization=params["l2"],
            max_features=params["max_features"],
            categorical_features=small,
            random_state=seed,
            **options,
        )

    def _encoder(self, params: dict[str, Any], seed: int) -> TargetEncoder | None:
        if not self._large().any():
            return None
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        return TargetEncoder(target_type="binary", smooth=params["smooth"], cv=folds)

    def _large(self) -> NDArray[np.bool_]:
        """Which id columns have more ids than trees take, `(S,)`."""
        return np.array([field.table_size > _BINS for field in self.schema.fields for _ in range(field.columns)])

    def _features(self, encoder: TargetEncoder | None, rows: Rows, *, fit: bool = False) -> NDArray[np.float64]:
        """Dense features, small id columns, means of the large ones: `(n, D + S)`."""
        ids, large = np.asarray(rows.ids), self._large()
        parts = [np.asarray(rows.dense)[:, : len(self.schema.dense)], ids[:, ~large]]
        if encoder is not None:
            # The cross-fitting is in `fit_transform` alone.
            known = encoder.fit_transform(ids[:, large], rows.label) if fit else encoder.transform(ids[:, large])
            parts.append(known)
        return np.hstack(parts).astype(np.float64)

    def _logits(
        self, model: HistGradientBoostingClassifier, encoder: TargetEncoder | None, rows: Rows, iterations: int
    ) -> Tensor:
        stages = model.staged_decision_function(self._features(encoder, rows))
        found: NDArray[np.float64] = next(islice(stages, iterations - 1, None))
        return torch.from_numpy(np.ravel(found).copy())
