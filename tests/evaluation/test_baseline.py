from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import fit_baseline, tune_baseline
from nasrec_automl.testing.examples import make_batch, repeated, tiny_schema, with_weights


def linear_rows(rows: int, seed: int) -> Rows:
    """The logit is a sum of one dense feature and two effects: what the regression can express."""
    dense, ids = (tensor.numpy() for tensor in make_batch(tiny_schema(), rows, seed))
    logit = 1.2 * dense[:, 0] + np.linspace(-1, 1, 7)[ids[:, 0]] + np.linspace(1, -2, 5)[ids[:, 1]]
    label = np.random.default_rng(seed).random(rows) < 1 / (1 + np.exp(-logit))
    return Rows(dense=dense.astype(np.float32), ids=ids, label=label.astype(np.int8))


def test_it_finds_the_effects_of_ids_and_dense_features() -> None:
    train, test = linear_rows(4000, 1), linear_rows(4000, 2)
    baseline = fit_baseline(train, strength=1.0)
    metrics = baseline.measure(test)
    assert metrics.auc > 0.78
    assert metrics.rows == 4000
    coefficients = baseline.model.coef_[0]
    assert len(coefficients) == 7 + 5 + 9 + 4 + 3
    assert coefficients[-3:] == pytest.approx([1.2, 0, 0], abs=0.15)
    assert coefficients[6] - coefficients[0] == pytest.approx(2, abs=0.4)


def test_integer_weights_are_repeated_rows() -> None:
    train, test = with_weights(linear_rows(400, 1)), with_weights(linear_rows(400, 2), seed=1)
    weighted, plain = fit_baseline(train, strength=1.0), fit_baseline(repeated(train), strength=1.0)
    np.testing.assert_allclose(weighted.logits(test), plain.logits(test), atol=1e-3)
    one, other = weighted.measure(test), plain.measure(repeated(test))
    assert one.log_loss == pytest.approx(other.log_loss, abs=1e-4)
    assert one.auc == pytest.approx(other.auc, abs=1e-4)
    unweighted = fit_baseline(replace(train, weight=None), strength=1.0)
    assert np.abs(unweighted.logits(test) - plain.logits(test)).max() > 0.1


def test_unknown_ids_are_no_error() -> None:
    train = linear_rows(500, 1)
    known = fit_baseline(train, strength=1.0)
    strange = Rows(dense=train.dense[:3], ids=train.ids[:3] + 100, label=train.label[:3])
    assert np.isfinite(known.logits(strange).numpy()).all()


def test_the_strength_is_chosen_on_validation_and_the_fit_is_on_train_alone() -> None:
    train, validation = linear_rows(300, 1), linear_rows(1000, 2)
    baseline, strength = tune_baseline(train, validation)
    losses = {s: fit_baseline(train, strength=s).measure(validation).log_loss for s in (0.03, 0.1, 0.3, 1.0, 3.0)}
    assert strength == min(losses, key=losses.get)
    assert baseline.measure(validation).log_loss == pytest.approx(losses[strength])
    again, _ = tune_baseline(train, validation)
    np.testing.assert_array_equal(baseline.model.coef_, again.model.coef_)
