"""The supernet on Criteo's shapes: a training step, and scoring a batch."""

import numpy as np
import torch
from torch.nn import functional as F

from nasrec_automl import FeatureSchema, load_search_space
from nasrec_automl.network import Supernet
from nasrec_automl.sampling import path_sampler
from nasrec_automl.training.clipping import clip_gradients
from nasrec_automl.training.optimizer import RowAdagrad
from nasrec_automl.training.seed import seeded
from tests.benchmarks.measure import Figure, seconds

_DENSE, _FIELDS, _ROWS = 13, 26, 10_000
_STEPS, _SCORES = 20, 6


def measure() -> list[Figure]:
    figures = []
    for name in ("nasrec-full", "nasrec-small"):
        figures += [_step(name), _score(name)]
    return figures


def _supernet(name: str) -> Supernet:
    schema = FeatureSchema.from_sizes(dense=_DENSE, table_sizes=[_ROWS] * _FIELDS)
    with seeded(0):
        return Supernet(load_search_space(name), schema)


def _batch(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(rows, _DENSE, generator=generator),
        torch.randint(_ROWS, (rows, _FIELDS), generator=generator),
        torch.randint(2, (rows,), generator=generator).float(),
    )


def _step(name: str) -> Figure:
    supernet = _supernet(name)
    optimizer = RowAdagrad(supernet.parameters(), lr=0.01)
    sampler = path_sampler("single-operator", supernet.space)
    dense, ids, label = _batch(512)

    def step(i: int) -> None:
        path = sampler.sample(np.random.default_rng(i))
        loss = F.binary_cross_entropy_with_logits(supernet(dense, ids, path), label)
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(supernet.parameters(), 5.0)
        optimizer.step()

    taken = seconds(step, runs=_STEPS)
    return Figure(f"{name}: supernet step, batch 512, single-operator", 1000 * taken, "ms")


def _score(name: str) -> Figure:
    supernet = _supernet(name).eval()
    dense, ids, _ = _batch(8192)

    @torch.inference_mode()
    def score(i: int) -> None:
        supernet(dense, ids, supernet.space.random(np.random.default_rng(i)))

    return Figure(f"{name}: scoring a batch of 8192", 1000 * seconds(score, runs=_SCORES, warm_up=1), "ms")
