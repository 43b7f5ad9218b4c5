from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation import boosting as module
from nasrec_automl.evaluation.boosting import BoostingSettings, fit_boosting, tune_boosting
from nasrec_automl.evaluation.logistic import fit_logistic
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import make_batch, pooled_schema, tiny_schema

SMALL = BoostingSettings(max_leaf_nodes=8)
LARGE = FeatureSchema.from_sizes(dense=1, table_sizes=[1000, 3])


def rows_with_an_interaction(rows: int, seed: int, schema: FeatureSchema) -> Rows:
    """The logit is a product of a dense feature and a category's sign, of which a sum of effects says nothing."""
    dense, ids = (tensor.numpy() for tensor in make_batch(schema, rows, seed))
    logit = 3 * dense[:, 0] * np.where(ids[:, -1] % 2, 1, -1)
    label = np.random.default_rng(seed).random(rows) < 1 / (1 + np.exp(-logit))
    return Rows(dense=dense.astype(np.float32), ids=ids, label=label.astype(np.int8))


def test_seeds_may_be_as_large_as_those_of_jobs() -> None:
    rows = rows_with_an_interaction(400, 400, LARGE)
    fitted = fit_boosting(rows, rows, LARGE, SMALL, seed=2**32 + 1)
    np.testing.assert_array_equal(fitted.logits(rows), fit_boosting(rows, rows, LARGE, SMALL, seed=1).logits(rows))


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema(), LARGE])
def test_it_finds_an_interaction(schema: FeatureSchema) -> None:
    train, validation, test = (rows_with_an_interaction(rows, rows, schema) for rows in (3000, 500, 1000))
    fitted = fit_boosting(train, validation, schema, SMALL, seed=1)
    metrics = fitted.measure(test)
    assert metrics.auc > 0.8 > fit_logistic(train, schema, strength=1.0).measure(test).auc + 0.1
    assert metrics.rows == 1000


def test_data_without_dense_features_have_none() -> None:
    schema = FeatureSchema.from_sizes(dense=0, table_sizes=[1000, 3])
    dense, ids = (tensor.numpy() for tensor in make_batch(schema, 600, 1))
    assert dense.shape == (600, 1), "the network reads a column of zeros"
    rows = Rows(dense=dense, ids=ids, label=(ids[:, 1] == 2).astype(np.int8))
    fitted = fit_boosting(rows.take(slice(400)), rows.take(slice(400, 600)), schema, SMALL, seed=1)
    assert fitted.model.n_features_in_ == 2
    assert list(fitted.model.is_categorical_) == [True, False]
    assert fitted.measure(rows).auc == 1


def test_no_rows_own_label_is_in_its_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id for each row or two, and labels of chance: a mean that held the row's own label would give it away."""
    rng = np.random.default_rng(1)
    dense, ids = np.zeros((1000, 1), np.float32), np.column_stack([rng.integers(1000, size=1000), np.zeros(1000, int)])
    rows = Rows(dense=dense, ids=ids, label=rng.integers(2, size=1000).astype(np.int8))
    seen: list[np.ndarray] = []
    fit = HistGradientBoostingClassifier.fit

    def watched(model: HistGradientBoostingClassifier, features: np.ndarray, *arguments: object, **options: object):
        seen.append(features[:, -1])
        return fit(model, features, *arguments, **options)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", watched)
    fitted = fit_boosting(rows, rows, LARGE, replace(SMALL, smooth=1.0), seed=1)
    assert abs(np.corrcoef(seen[0], rows.label)[0, 1]) < 0.15
    known = module._features(rows, LARGE, fitted.encoder)[:, -1]
    assert np.corrcoef(known, rows.label)[0, 1] > 0.4, "or this shows nothing"


def test_the_best_iteration_counts_and_later_ones_do_not() -> None:
    train, validation = (rows_with_an_interaction(rows, rows, tiny_schema()) for rows in (1000, 400))
    fitted = fit_boosting(train, validation, tiny_schema(), BoostingSettings(), seed=1)
    assert fitted.iterations < fitted.model.n_iter_
    stages = fitted.model.staged_predict_proba(module._features(validation, tiny_schema(), None))
    label = np.asarray(validation.label)
    losses = [-np.log(np.where(label == 1, stage[:, 1], stage[:, 0])).mean() for stage in stages]
    assert fitted.iterations - 1 == int(np.argmin(losses))
    assert fitted.measure(validation).log_loss == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize("schema", [tiny_schema(), LARGE])
def test_rows_of_weight_0_say_nothing(schema: FeatureSchema) -> None:
    train, validation = (rows_with_an_interaction(rows, rows, schema) for rows in (1000, 400))
    wrong = replace(train, label=(1 - train.label).astype(np.int8))
    both = Rows.concatenate([replace(train, weight=np.ones(1000)), replace(wrong, weight=np.zeros(1000))])
    ends = replace(validation, weight=np.ones(400))
    weighted = fit_boosting(both, ends, schema, replace(SMALL, min_samples_leaf=40), seed=1)
    assert weighted.measure(ends).auc > 0.8
    unweighted = fit_boosting(replace(both, weight=None), validation, schema, SMALL, seed=1)
    assert unweighted.measure(ends).auc < 0.6
    misled = Rows.concatenate([ends, replace(ends, label=(1 - ends.label).astype(np.int8), weight=np.zeros(400))])
    again = fit_boosting(both, misled, schema, replace(SMALL, min_samples_leaf=40), seed=1)
    assert again.iterations == weighted.iterations


def test_many_rows_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = (rows_with_an_interaction(rows, rows, LARGE) for rows in (1000, 400))
    fitted = fit_boosting(train, validation, LARGE, SMALL, seed=1)
    whole = fitted.logits(train)
    monkeypatch.setattr("nasrec_automl.evaluation.baseline._ROWS_AT_ONCE", 64)
    np.testing.assert_array_equal(fitted.logits(train), whole)


@pytest.mark.parametrize("sizes", [(8, 31), (31, 8)])
def test_the_size_of_trees_is_chosen_on_validation(sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAVES", sizes)
    train, validation = (rows_with_an_interaction(rows, rows, tiny_schema()) for rows in (1000, 400))
    losses = {
        leaves: fit_boosting(train, validation, tiny_schema(), BoostingSettings(max_leaf_nodes=leaves), seed=1)
        .measure(validation)
        .log_loss
        for leaves in sizes
    }
    tuned = tune_boosting(train, validation, tiny_schema(), seed=1)
    assert tuned.settings.max_leaf_nodes == min(losses, key=losses.get)
    assert tuned.measure(validation).log_loss == min(losses.values())
