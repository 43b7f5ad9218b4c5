from typing import Any

import numpy as np
import pytest
import torch

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import HeadConfig
from nasrec_automl.cost import profile
from nasrec_automl.data.batches import TrainingBatches
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.network import Supernet
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space, with_choice
from nasrec_automl.training.metrics import measure

SPACE, SCHEMA = tiny_space(), tiny_schema()
HEAD_ROWS, SCORE_ROWS = make_rows(SCHEMA, 600, seed=1), make_rows(SCHEMA, 500, seed=2)
RNG = np.random.default_rng(0)
ARCHITECTURES = [SPACE.random(RNG) for _ in range(6)]


def evaluator(*, steps: int = 40, seed: int = 0, layer_norm: bool = True, **options: Any) -> WeightSharingEvaluator:
    torch.manual_seed(0)
    supernet = Supernet(SPACE, SCHEMA, layer_norm=layer_norm, dropout=0.5)
    head = HeadConfig(steps=steps, batch_size=64, learning_rate=0.04)
    return WeightSharingEvaluator(supernet, head_rows=HEAD_ROWS, score_rows=SCORE_ROWS, head=head, seed=seed, **options)


def test_without_a_fit_it_is_the_extracted_subnets_quality() -> None:
    unfitted = evaluator(steps=0)
    for architecture in ARCHITECTURES:
        dense, ids, label = SCORE_ROWS.batch(slice(0, 500))
        with torch.no_grad():
            expected = measure(unfitted.supernet.extract(architecture)(dense, ids), label)
        score = unfitted.evaluate(architecture)
        assert score.log_loss == pytest.approx(expected.log_loss, rel=1e-5)
        assert score.auc == pytest.approx(expected.auc, abs=1e-4)
        assert score.standard_error == pytest.approx(expected.standard_error, rel=1e-4)
        assert score.rows == 500


def test_fitting_the_head_lowers_the_log_loss() -> None:
    for architecture in ARCHITECTURES:
        assert evaluator(steps=100).evaluate(architecture).log_loss < evaluator(steps=0).evaluate(architecture).log_loss


def test_a_score_does_not_depend_on_what_was_scored_before() -> None:
    first, second = evaluator(), evaluator()
    scores = {a.key: first.evaluate(a) for a in ARCHITECTURES}
    for architecture in reversed(ARCHITECTURES):
        torch.rand(3)
        assert second.evaluate(architecture) == scores[architecture.key]
        assert first.evaluate(architecture) == scores[architecture.key]


def test_equal_keys_have_equal_scores() -> None:
    found = 0
    scorer = evaluator()
    for architecture in ARCHITECTURES:
        for label, choices in SPACE.labels.items():
            other: Architecture = with_choice(architecture, label, choices[0])
            if other != architecture and other.key == architecture.key and found < 5:
                assert scorer.evaluate(other) == scorer.evaluate(architecture)
                found += 1
    assert found == 5


def test_the_seed_and_the_key_order_the_heads_rows() -> None:
    architecture = ARCHITECTURES[0]
    assert evaluator(seed=0).evaluate(architecture) == evaluator(seed=0).evaluate(architecture)
    assert evaluator(seed=0).evaluate(architecture) != evaluator(seed=1).evaluate(architecture)


def test_the_supernet_is_left_as_it_is() -> None:
    scorer = evaluator()
    before = {name: tensor.clone() for name, tensor in scorer.supernet.state_dict().items()}
    for architecture in ARCHITECTURES:
        scorer.evaluate(architecture)
    assert all(torch.equal(tensor, before[name]) for name, tensor in scorer.supernet.state_dict().items())


@pytest.mark.parametrize("layer_norm", [True, False])
def test_costs_are_the_profiles(layer_norm: bool) -> None:
    scorer = evaluator(layer_norm=layer_norm, steps=1)
    for architecture in ARCHITECTURES:
        cost = profile(architecture, SCHEMA, layer_norm=layer_norm)
        score = scorer.evaluate(architecture)
        assert (score.macs, score.parameters) == (cost.macs, cost.dense_parameters)


def test_the_head_is_fitted_on_its_own_rows_alone() -> None:
    blind = evaluator()
    shuffled = make_rows(SCHEMA, 500, seed=9)
    other = WeightSharingEvaluator(blind.supernet, head_rows=HEAD_ROWS, score_rows=shuffled, head=blind.head, seed=0)
    one, two = (scorer._fitted_head(ARCHITECTURES[0]) for scorer in (blind, other))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_a_trained_supernet_scores_better_than_a_new_one() -> None:
    scorer = evaluator(steps=0)
    before = scorer.evaluate(ARCHITECTURES[0]).log_loss
    supernet = scorer.supernet
    optimizer = torch.optim.Adagrad(supernet.parameters(), lr=0.05)
    for dense, ids, label in TrainingBatches(make_rows(SCHEMA, 600, seed=3), 100, 0, 40):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(supernet(dense, ids, ARCHITECTURES[0]), label).backward()
        optimizer.step()
    after = scorer.evaluate(ARCHITECTURES[0])
    assert after.log_loss < before - 0.03
    assert after.auc > 0.6


def test_scores_in_bfloat16_are_close_and_their_heads_are_float32() -> None:
    exact, rounded = evaluator(), evaluator(precision="bfloat16")
    for architecture in ARCHITECTURES:
        mine, theirs = rounded.evaluate(architecture), exact.evaluate(architecture)
        assert mine.log_loss == pytest.approx(theirs.log_loss, abs=5e-3)
        assert mine.auc == pytest.approx(theirs.auc, abs=1e-2)
        assert mine.log_loss != theirs.log_loss
        assert rounded._fitted_head(architecture)[0].dtype == torch.float32
    assert {p.dtype for p in rounded.supernet.parameters()} == {torch.float32}
