import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from nasrec_automl.training.metrics import measure


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


def test_large_logits_are_ranked_still() -> None:
    # Their float32 sigmoids are all 1.
    logits = torch.tensor([20.0, 21.0, 22.0, 23.0])
    assert measure(logits, torch.tensor([0.0, 0.0, 1.0, 1.0])).auc == 1.0
    assert measure(logits, torch.tensor([1.0, 1.0, 0.0, 0.0])).auc == 0.0


def test_extreme_logits_have_a_finite_loss() -> None:
    metrics = measure(torch.tensor([1000.0, -1000.0]), torch.tensor([0.0, 1.0]))
    assert metrics.log_loss == pytest.approx(1000)


def test_equal_logits_are_tied_wherever_they_stand() -> None:
    # Lengths that are no multiple of a vector register: its end is computed another way.
    for rows in range(8, 40):
        logits = torch.linspace(-0.9, 0.9, 4, dtype=torch.float64).repeat(rows)[:rows]
        label = torch.arange(rows) % 3 == 0
        assert measure(logits, label.float()).auc == pytest.approx(roc_auc_score(label, logits), abs=1e-6)


@pytest.mark.filterwarnings("ignore:No negative samples")
def test_one_row_has_no_standard_error() -> None:
    assert math.isnan(measure(torch.tensor([0.3]), torch.tensor([1.0])).standard_error)
