import math
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from nasrec_automl.errors import DataError
from nasrec_automl.testing.examples import make_rows, tiny_schema, with_weights
from nasrec_automl.training.metrics import mean_log_loss, measure, targets


@given(st.integers(2, 300), st.integers(0, 2**32), st.sampled_from([0.3, 3.0]), st.booleans())
def test_metrics_are_sklearns(rows: int, seed: int, scale: float, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=rows)
    if ties:
        logits = logits.round(1)
    label = (rng.random(rows) < 0.4).astype(np.float32)
    label[:2] = 0, 1
    metrics = measure(torch.from_numpy(logits), torch.from_numpy(label))
    probability = 1 / (1 + np.exp(-logits))
    assert metrics.log_loss == pytest.approx(log_loss(label, probability), rel=1e-9)
    assert metrics.auc == pytest.approx(roc_auc_score(label, logits), abs=1e-6)
    losses = -np.log(np.where(label == 1, probability, 1 - probability))
    assert metrics.standard_error == pytest.approx(losses.std(ddof=1) / math.sqrt(rows), rel=1e-6)
    assert metrics.rows == rows


def test_a_label_between_is_a_part_of_either_class() -> None:
    rng = np.random.default_rng(0)
    logits, label = torch.from_numpy(rng.normal(size=60)), torch.from_numpy(rng.random(60))
    weight = torch.from_numpy(rng.random(60))
    for own in (None, weight):
        each = torch.ones(60).double() if own is None else own
        split = measure(
            torch.cat([logits, logits]),
            torch.cat([torch.ones(60), torch.zeros(60)]),
            torch.cat([each * label, each * (1 - label)]),
        )
        found = measure(logits, label, own)
        assert found.auc == pytest.approx(split.auc)
        assert found.log_loss == pytest.approx(split.log_loss)
        assert 0.3 < found.auc < 0.7


def test_large_logits_are_ranked_still() -> None:
    # Their float32 sigmoids are all 1.
    logits = torch.tensor([20.0, 21.0, 22.0, 23.0])
    assert measure(logits, torch.tensor([0.0, 0.0, 1.0, 1.0])).auc == 1.0
    assert measure(logits, torch.tensor([1.0, 1.0, 0.0, 0.0])).auc == 0.0


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_one_class_there_is_no_auc_and_no_warning(value: float, weighted: bool) -> None:
    weight = torch.ones(5) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = measure(torch.arange(5.0), torch.full((5,), value), weight)
    assert metrics.auc == 0.0
    assert math.isfinite(metrics.log_loss)


def test_extreme_logits_have_a_finite_loss() -> None:
    metrics = measure(torch.tensor([1000.0, -1000.0]), torch.tensor([0.0, 1.0]))
    assert metrics.log_loss == pytest.approx(1000)


def test_equal_logits_are_tied_wherever_they_stand() -> None:
    # Lengths that are no multiple of a vector register: its end is computed another way.
    for rows in range(8, 40):
        logits = torch.linspace(-0.9, 0.9, 4, dtype=torch.float64).repeat(rows)[:rows]
        label = torch.arange(rows) % 3 == 0
        assert measure(logits, label.float()).auc == pytest.approx(roc_auc_score(label, logits), abs=1e-6)


@given(st.integers(2, 100), st.integers(0, 2**32), st.booleans())
def test_integer_weights_are_repeated_rows(rows: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    logits, label = rng.normal(size=rows).round(1 if ties else 9), (rng.random(rows) < 0.4).astype(np.float32)
    weight = rng.integers(4, size=rows)
    label[:2], weight[:2] = (0, 1), 1
    weighted = measure(*(torch.from_numpy(part) for part in (logits, label, weight)))
    repeated = measure(*(torch.from_numpy(part.repeat(weight)) for part in (logits, label)))
    assert weighted.log_loss == pytest.approx(repeated.log_loss, rel=1e-12)
    assert weighted.auc == pytest.approx(repeated.auc, abs=1e-6)
    assert weighted.auc == pytest.approx(roc_auc_score(label, logits, sample_weight=weight), abs=1e-12)
    assert weighted.rows == rows


def test_rows_of_weight_0_are_left_out_and_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(0)
    logits, label = torch.from_numpy(rng.normal(size=500)), torch.from_numpy(rng.integers(2, size=500)).float()
    plain = asdict(measure(logits, label))
    assert asdict(measure(logits, label, torch.full((500,), 0.3))) == pytest.approx(plain, abs=1e-6)
    weight = torch.from_numpy(rng.gamma(0.5, size=500) * rng.integers(2, size=500)).float()
    some = measure(logits[weight > 0], label[weight > 0], weight[weight > 0])
    assert asdict(measure(logits, label, weight)) == {**asdict(some), "rows": 500}
    assert mean_log_loss(logits, label, weight) == some.log_loss
    assert some.log_loss != pytest.approx(plain["log_loss"], abs=1e-3)


def test_a_single_class_has_no_auc_and_no_weight_at_all_is_an_error() -> None:
    logits, label = torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0])
    assert measure(logits, label, torch.tensor([0.0, 2.0])).auc == 0
    with pytest.raises(DataError, match="weights of all 2 rows to measure on are 0"):
        measure(logits, label, torch.zeros(2))


def test_targets_are_labels_and_weights() -> None:
    rows = make_rows(tiny_schema(), 9)
    label, weight = targets(rows)
    assert (label.tolist(), weight) == (rows.label.tolist(), None)
    weighted = with_weights(rows)
    label, weight = targets(weighted)
    assert (label.dtype, weight.dtype) == (torch.float32, torch.float32)
    assert weight.tolist() == weighted.weight.tolist()


@pytest.mark.filterwarnings("ignore:No negative samples")
def test_one_row_has_no_standard_error() -> None:
    assert math.isnan(measure(torch.tensor([0.3]), torch.tensor([1.0])).standard_error)
