"""The same on a GPU. Without one these tests skip; the numbers are compared with the CPU's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.config import AdagradHead
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.evaluation.scratch import ScratchOptions, train_from_scratch
from nasrec_automl.network import Supernet
from nasrec_automl.network.latency import SubnetLatency
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.testing.examples import composed_schema, make_rows, tiny_space
from nasrec_automl.training.clipping import clip_gradients
from nasrec_automl.training.optimizer import RowAdagrad
from nasrec_automl.training.precision import Precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")

SPACE, SCHEMA = tiny_space(), composed_schema()
ROWS = make_rows(SCHEMA, 600)
RNG = np.random.default_rng(0)
ARCHITECTURES = [SPACE.random(RNG) for _ in range(4)]


def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE, SCHEMA)


def test_supernet_steps_are_those_of_the_cpu() -> None:
    trained = []
    for device in ("cpu", "cuda"):
        network = supernet().to(device)
        optimizer = RowAdagrad(network.parameters(), lr=0.05, weight_decay=0.01)
        for number, path in enumerate((full_path(SPACE), *(a.path for a in ARCHITECTURES))):
            dense, ids, label = (part.to(device) for part in ROWS.batch(slice(64 * number, 64 * number + 64)))
            optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(network(dense, ids, path), label).backward()
            clip_gradients(network.parameters(), 1.0)
            optimizer.step()
        trained.append({name: p.detach().cpu() for name, p in network.named_parameters()})
    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-3)])
def test_scores_are_those_of_the_cpu(precision: Precision, tolerance: float) -> None:
    def evaluator(device: str, **options: Any) -> WeightSharingEvaluator:
        head = AdagradHead(method="adagrad", steps=20, batch_size=64)
        rows = make_rows(SCHEMA, 400, seed=1)
        return WeightSharingEvaluator(
            supernet().to(device), head_rows=rows, score_rows=ROWS, head=head, seed=0, **options
        )

    expected, scorer = evaluator("cpu"), evaluator("cuda", precision=precision)
    for architecture in ARCHITECTURES:
        score = scorer.evaluate(architecture)
        assert score.log_loss == pytest.approx(expected.evaluate(architecture).log_loss, abs=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-3), ("bfloat16", 3e-2)])
def test_a_training_is_that_of_the_cpu(precision: Precision, tolerance: float) -> None:
    options = ScratchOptions(
        batch_size=50,
        learning_rate=0.1,
        weight_decay=0.0,
        dropout=0.0,
        layer_norm=True,
        clip_norm=5.0,
        eps=1e-2,
        seed=3,
        steps=30,
        validate_every=15,
    )

    def train(device: str, **changes: Any) -> float:
        own = replace(options, device=device, **changes)
        trained = train_from_scratch(ARCHITECTURES[0], SCHEMA, ROWS, ROWS, own)
        assert {p.device.type for p in trained.subnet.parameters()} == {"cpu"}
        return trained.metrics.log_loss

    assert train("cuda", precision=precision) == pytest.approx(train("cpu"), abs=tolerance)


def test_latency_is_measured_on_the_gpu() -> None:
    latency = SubnetLatency(SCHEMA, batch_size=64, device="cuda")(ARCHITECTURES[0])
    assert (latency.device, latency.rows) == ("cuda", 64)
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
