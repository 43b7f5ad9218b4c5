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


@dataclass(frozen=True)
class Training:
    """A network with its optimiser and the clipping that suits its gradients."""

    network: Supernet | MaskedSupernet
    optimizer: torch.optim.Optimizer
    clip: Callable[[], object]

    def step(self, data: Batch, path: Path) -> None:
        """Forward, backward, clip, update."""
        self.optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(self.network(data.dense, data.ids, path), data.label).backward()
        self.clip()
        self.optimizer.step()


def training(network: Supernet, *, lr: float = _LR, eps: float = _EPS) -> Training:
    """As the package trains."""
    parameters = list(network.parameters())
    return Training(network, RowAdagrad(parameters, lr=lr, eps=eps), lambda: clip_gradients(parameters, _CLIP))


def masked_training(network: MaskedSupernet) -> Training:
    """The same with torch's own tools, the fastest of each."""
    parameters = list(network.parameters())
    return Training(
        network,
        torch.optim.Adagrad(parameters, lr=_LR, eps=_EPS, fused=True),
        lambda: nn.utils.clip_grad_norm_(parameters, _CLIP, foreach=True),
    )
