"""A baseline of every run: gradient boosted trees on the same features and rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import Baseline
from nasrec_automl.evaluation.mean_labels import MeanLabels, cross_fitted
from nasrec_automl.schema import FeatureSchema

_CATEGORIES = 255
"""Most ids of a column that the trees take as they are."""

_ITERATIONS, _PATIENCE = 1000, 30

_LEAVES = (31, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingSettings:
    """How trees are grown, as scikit-learn's `HistGradientBoostingClassifier` and `TargetEncoder` call it.

    Attributes:
        learning_rate: what each tree counts.
        max_leaf_nodes: most leaves of a tree.
        min_samples_leaf: fewest rows of a leaf.
        l2_regularization: ridge penalty on the leaves' values.
        max_features: share of the features that each split chooses among.
        smooth: a category's mean label counts as so many rows of the mean of all rows, beside its own.
    """

    learning_rate: float = 0.1
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 1.0
    max_features: float = 1.0
    smooth: float = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Boosting(Baseline):
    """Fitted trees.

    Attributes:
        schema: of the rows.
        settings: of the fit.
        encoder: of the columns with many ids; None where there are none.
        model: the trees, also those after the best iteration, which do not count.
        iterations: the best one.
    """

    schema: FeatureSchema
    settings: BoostingSettings
    encoder: MeanLabels | None
    model: HistGradientBoostingClassifier
    iterations: int

    def _logits(self, rows: Rows) -> NDArray[np.float64]:
        stages = self.model.staged_decision_function(_features(rows, self.schema, self.encoder))
        found: NDArray[np.float64] = next(islice(stages, self.iterations - 1, None))
        return np.ravel(found).copy()


def fit_boosting(
    train: Rows, validation: Rows, schema: FeatureSchema, settings: BoostingSettings, *, seed: int
) -> Boosting:
    """Fit trees until 30 iterations in a row bring no lower log loss on validation rows; the best iteration counts.

    Columns of at most 255 ids are categories to the trees. A larger one becomes the mean label of its id, which is
    cross-fitted: no row's own label is in its feature. Rows count by their weights in both.

    Args:
        train: what the trees learn from.
        validation: what ends them.
        schema: of the rows.
        settings: how trees are grown.
        seed: of the folds and of the trees.
    """
    large, encoder = _large(schema), None
    seed %= 2**32  # scikit-learn takes no larger one, and a job does
    means: NDArray[np.float64] | None = None
    if large.any():
        columns = [field.table_size for field in schema.fields for _ in range(field.columns)]
        sizes = [size for size, is_large in zip(columns, large, strict=True) if is_large]
        rows = (np.asarray(train.ids)[:, large], np.asarray(train.label), _weight(train))
        encoder = MeanLabels.fit(*rows, sizes=sizes, smooth=settings.smooth)
        means = cross_fitted(*rows, sizes=sizes, smooth=settings.smooth, seed=seed)
    model = HistGradientBoostingClassifier(
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.max_leaf_nodes,
        min_samples_leaf=settings.min_samples_leaf,
        l2_regularization=settings.l2_regularization,
        max_features=settings.max_features,
        categorical_features=len(schema.dense) + np.arange(np.count_nonzero(~large)),
        max_iter=_ITERATIONS,
        early_stopping=True,
        n_iter_no_change=_PATIENCE,
        random_state=seed,
    )
    model.fit(
        _features(train, schema, encoder, means),
        np.asarray(train.label),
        sample_weight=_weight(train),
        X_val=_features(validation, schema, encoder),
        y_val=np.asarray(validation.label),
        sample_weight_val=_weight(validation),
    )
    best = max(1, int(np.argmax(model.validation_score_)))  # its first entry is of no iteration at all
    return Boosting(schema, settings, encoder, model, best)


def tune_boosting(train: Rows, validation: Rows, schema: FeatureSchema, *, seed: int) -> Boosting:
    """Choose between trees of 31 and of 8 leaves on validation rows."""
    each = [BoostingSettings(max_leaf_nodes=leaves) for leaves in _LEAVES]
    fits = [fit_boosting(train, validation, schema, settings, seed=seed) for settings in each]
    return min(fits, key=lambda fitted: fitted.measure(validation).log_loss)


def _large(schema: FeatureSchema) -> NDArray[np.bool_]:
    """Which id columns have more ids than trees take, `(S,)`."""
    return np.array([field.table_size > _CATEGORIES for field in schema.fields for _ in range(field.columns)])


def _features(
    rows: Rows, schema: FeatureSchema, encoder: MeanLabels | None, means: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Dense features, ids of small columns, mean labels of large ones (those that are given, if any): `(n, D + S)`."""
    ids, large = np.asarray(rows.ids), _large(schema)
    parts = [np.asarray(rows.dense)[:, : len(schema.dense)], ids[:, ~large]]
    if encoder is not None:
        parts.append(encoder.transform(ids[:, large]) if means is None else means)
    return np.hstack(parts).astype(np.float64, copy=False)


def _weight(rows: Rows) -> NDArray[np.float64] | None:
    return None if rows.weight is None else np.asarray(rows.weight, np.float64)
