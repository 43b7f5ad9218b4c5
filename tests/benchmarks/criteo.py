"""Criteo's shapes: schema, batches, and a training step as each of the two networks takes it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl import Architecture, FeatureSchema, SearchSpace, load_search_space
from nasrec_automl.architecture import Path
from nasrec_automl.network import Supernet
from nasrec_automl.training.clipping import clip_gradients
from nasrec_automl.training.optimizer import RowAdagrad
from nasrec_automl.training.seed import seeded
from tests.benchmarks.masked import MaskedSupernet

DENSE, FIELDS = 13, 26
_LR, _EPS, _CLIP = 0.01, 1e-2, 5.0

Step = Callable[[Path], None]


@dataclass(frozen=True)
class Batch:
    """Fixed tensors: `(B, 13)`, `(B, 26)`, `(B,)`."""

    dense: Tensor
    ids: Tensor
    label: Tensor


def schema(table_rows: int) -> FeatureSchema:
    return FeatureSchema.from_sizes(dense=DENSE, table_sizes=[table_rows] * FIELDS)


def batch(rows: int, table_rows: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.rand(rows, DENSE, generator=generator),
        torch.randint(table_rows, (rows, FIELDS), generator=generator),
        torch.randint(2, (rows,), generator=generator).float(),
    )


def architectures(space: SearchSpace, count: int) -> list[Architecture]:
    """Drawn as single-operator any-connection sampling draws them."""
    rng = np.random.default_rng(0)
    return [space.random(rng) for _ in range(count)]


def supernet(name: str, table_rows: int) -> Supernet:
    with seeded(0):
        return Supernet(load_search_space(name), schema(table_rows))


def masked(name: str, table_rows: int) -> MaskedSupernet:
    with seeded(0):
        return MaskedSupernet(load_search_space(name), schema(table_rows))


def supernet_step(network: Supernet, data: Batch) -> Step:
    """A training step as the package takes it."""
    optimizer = RowAdagrad(network.parameters(), lr=_LR, eps=_EPS)

    def step(path: Path) -> None:
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(data.dense, data.ids, path), data.label).backward()
        clip_gradients(network.parameters(), _CLIP)
        optimizer.step()

    return step


def masked_step(network: MaskedSupernet, data: Batch) -> Step:
    """The same step with torch's own tools, the fastest of each."""
    optimizer = torch.optim.Adagrad(network.parameters(), lr=_LR, eps=_EPS, fused=True)

    def step(path: Path) -> None:
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(data.dense, data.ids, path), data.label).backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP, foreach=True)
        optimizer.step()

    return step
