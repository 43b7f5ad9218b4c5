import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation import logistic as module
from nasrec_automl.evaluation.logistic import fit_logistic, tune_logistic
from nasrec_automl.testing.examples import make_batch, pooled_schema, repeated, tiny_schema, with_weights


def linear_rows(rows: int, seed: int) -> Rows:
    """The logit is a sum of one dense feature and two effects: what the regression can express."""
    dense, ids = (tensor.numpy() for tensor in make_batch(tiny_schema(), rows, seed))
    logit = 1.2 * dense[:, 0] + np.linspace(-1, 1, 7)[ids[:, 0]] + np.linspace(1, -2, 5)[ids[:, 1]]
    label = np.random.default_rng(seed).random(rows) < 1 / (1 + np.exp(-logit))
    return Rows(dense=dense.astype(np.float32), ids=ids, label=label.astype(np.int8))


def test_it_finds_the_effects_of_ids_and_dense_features() -> None:
    train, test = linear_rows(4000, 1), linear_rows(4000, 2)
    baseline = fit_logistic(train, tiny_schema(), strength=1.0)
    metrics = baseline.measure(test)
    assert metrics.auc > 0.78
    assert metrics.rows == 4000
    coefficients = baseline.coefficients
    assert len(coefficients) == 7 + 5 + 9 + 4 + 3
    assert coefficients[-3:] == pytest.approx([1.2, 0, 0], abs=0.15)
    assert coefficients[6] - coefficients[0] == pytest.approx(2, abs=0.4)


def test_integer_weights_are_repeated_rows() -> None:
    train, test = with_weights(linear_rows(400, 1)), with_weights(linear_rows(400, 2), seed=1)
    weighted, plain = (
        fit_logistic(train, tiny_schema(), strength=1.0),
        fit_logistic(repeated(train), tiny_schema(), strength=1.0),
    )
    np.testing.assert_allclose(weighted.logits(test), plain.logits(test), atol=1e-3)
    one, other = weighted.measure(test), plain.measure(repeated(test))
    assert one.log_loss == pytest.approx(other.log_loss, abs=1e-4)
    assert one.auc == pytest.approx(other.auc, abs=1e-4)
    unweighted = fit_logistic(replace(train, weight=None), tiny_schema(), strength=1.0)
    assert np.abs(unweighted.logits(test) - plain.logits(test)).max() > 0.1


def test_where_those_that_were_drawn_have_one_class_all_rows_choose_the_strength(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, validation = linear_rows(500, 1), linear_rows(500, 2)
    label = np.zeros(500, np.int8)
    label[:3] = 1
    rare = replace(train, label=label)
    monkeypatch.setattr(module, "TUNING_ROWS", 20)
    seed = next(seed for seed in range(100) if not rare.sample(20, seed).label.any())
    drawn = tune_logistic(rare, validation, tiny_schema(), seed=seed)
    monkeypatch.setattr(module, "TUNING_ROWS", 500)
    np.testing.assert_array_equal(
        drawn.logits(rare), tune_logistic(rare, validation, tiny_schema(), seed=0).logits(rare)
    )


def test_categories_that_the_fit_has_not_seen_count_nothing() -> None:
    train = linear_rows(500, 1)
    known = fit_logistic(train.take(np.flatnonzero(train.ids[:, 0] != 3)), tiny_schema(), strength=1.0)
    strange = train.take(np.flatnonzero(train.ids[:, 0] == 3))
    expected = np.hstack([one_hot(strange, but=3), strange.dense]) @ known.coefficients + known.intercept
    np.testing.assert_allclose(known.logits(strange), expected)


def one_hot(rows: Rows, *, but: int) -> np.ndarray:
    """Columns of all ids of the four fields, but for one id of the first."""
    columns = [rows.ids[:, [field]] == np.arange(size) for field, size in enumerate(tiny_schema().table_sizes)]
    return np.delete(np.hstack(columns), but, axis=1).astype(np.float64)


def test_values_of_a_multi_valued_field_count_as_its_embedding_does() -> None:
    schema = pooled_schema()  # genres (mean, three columns), user, tags (sum, two columns)
    dense, ids = (tensor.numpy() for tensor in make_batch(schema, 3000, 1))
    genres, tags = ids[:, :3], ids[:, 4:]
    effects = np.linspace(-3, 3, schema.fields[0].table_size)
    effects[0] = 0.0
    logit = effects[genres].sum(axis=1) / np.maximum((genres > 0).sum(axis=1), 1) + 1.5 * (tags == 2).sum(axis=1)
    label = np.random.default_rng(1).random(len(ids)) < 1 / (1 + np.exp(-logit))
    rows = Rows(dense=dense, ids=ids, label=label.astype(np.int8))
    baseline = fit_logistic(rows, schema, strength=100.0)
    assert np.corrcoef(baseline.logits(rows), logit)[0, 1] > 0.97
    # The order of the values and where the padding stands do not matter.
    turned = replace(rows, ids=np.hstack([genres[:, ::-1], ids[:, 3:4], tags[:, ::-1]]))
    np.testing.assert_allclose(baseline.logits(turned), baseline.logits(rows))


def test_ids_that_no_row_has_take_no_memory() -> None:
    rows = linear_rows(300, 1)
    few, *others = tiny_schema().fields
    many = few.model_copy(update={"table_size": 50_000_000, "compositional": 1000})
    logits = []
    for field in (few, many):
        schema = tiny_schema().model_copy(update={"fields": (field, *others)})
        tracemalloc.start()
        logits.append(fit_logistic(rows, schema, strength=1.0).logits(rows))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000_000
    assert logits[0].equal(logits[1])


def test_many_rows_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = linear_rows(500, 1)
    baseline = fit_logistic(rows, tiny_schema(), strength=1.0)
    whole = baseline.logits(rows)
    monkeypatch.setattr("nasrec_automl.evaluation.baseline._ROWS_AT_ONCE", 64)
    np.testing.assert_allclose(baseline.logits(rows), whole)


def test_the_strength_is_chosen_on_validation_and_the_fit_is_on_train_alone() -> None:
    train, validation = linear_rows(300, 1), linear_rows(1000, 2)
    baseline = tune_logistic(train, validation, tiny_schema(), seed=1)
    losses = {
        s: fit_logistic(train, tiny_schema(), strength=s).measure(validation).log_loss
        for s in (0.03, 0.1, 0.3, 1.0, 3.0)
    }
    assert baseline.strength == min(losses, key=losses.get)
    assert baseline.measure(validation).log_loss == pytest.approx(losses[baseline.strength])
    again = tune_logistic(train, validation, tiny_schema(), seed=1)
    np.testing.assert_array_equal(baseline.coefficients, again.coefficients)


def test_rows_are_counted_once_for_all_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, calls = linear_rows(60, 1), []
    count = module._categories
    monkeypatch.setattr(module, "_categories", lambda some, schema: calls.append(some is rows) or count(some, schema))
    tune_logistic(rows, linear_rows(40, 2), tiny_schema(), seed=1)
    assert sum(calls) == 1


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Strength and rows of each fit."""
    found: list[tuple[float, int]] = []
    fit = LogisticRegression.fit

    def watched(model: LogisticRegression, design: np.ndarray, *arguments: object, **options: object) -> object:
        found.append((model.C, design.shape[0]))
        return fit(model, design, *arguments, **options)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    return found


def test_no_weaker_strength_is_tried_once_one_is_worse(fits: list[tuple[float, int]]) -> None:
    noise = linear_rows(300, 1)
    noise = replace(noise, label=np.random.default_rng(3).permutation(noise.label))
    assert tune_logistic(noise, linear_rows(1000, 2), tiny_schema(), seed=1).strength == 0.03
    assert fits == [(0.03, 300), (0.1, 300)]


def test_of_many_rows_some_choose_the_strength_and_all_are_fitted(
    fits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, validation = linear_rows(600, 1), linear_rows(1000, 2)
    some = tune_logistic(train.sample(200, 7), validation, tiny_schema(), seed=7)
    monkeypatch.setattr(module, "TUNING_ROWS", 200)
    fits.clear()
    baseline = tune_logistic(train, validation, tiny_schema(), seed=7)
    assert baseline.strength == some.strength
    assert [rows for _, rows in fits] == [200] * (len(fits) - 1) + [600]
    alone = fit_logistic(train, tiny_schema(), strength=some.strength)
    np.testing.assert_array_equal(baseline.coefficients, alone.coefficients)
