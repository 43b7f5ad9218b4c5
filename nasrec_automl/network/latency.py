"""How long a forward pass takes, measured."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import BudgetError
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.subnet import Subnet
from nasrec_automl.schema import FeatureSchema

REPEATS, WARM_UP = 30, 5

_TABLE_ROWS = 10_000
"""Ids of a field while latency is measured. Larger tables cost all architectures the same, and memory besides."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of one forward pass.

    Attributes:
        median_ms: half of the passes took no longer.
        low_ms: a tenth of them took no longer.
        high_ms: nine tenths of them took no longer.
        repeats: how many passes were measured.
        rows: of the batch.
        device: `cpu` or `cuda`.
        threads: of torch on the CPU.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    repeats: int
    rows: int
    device: str
    threads: int


def measure_latency(network: nn.Module, batch: Batch, *, repeats: int = REPEATS, warm_up: int = WARM_UP) -> Latency:
    """Time forward passes of a network, in inference mode, in float32, on the device where it and the batch are.

    Args:
        network: takes dense features and ids.
        batch: dense features `(B, D)` and ids `(B, S)` int64.
        repeats: passes that are timed, one by one.
        warm_up: passes before them, which are not.

    Raises:
        BudgetError: nothing is to be timed.
    """
    if repeats < 1 or warm_up < 0:
        raise BudgetError(f"repeats must be at least 1 and warm_up at least 0, but they are {repeats} and {warm_up}")
    dense, ids = batch
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            passes = [_timed(network, dense, ids) for _ in range(warm_up + repeats)][warm_up:]
    finally:
        network.train(was_training)
    low, high = np.quantile(passes, (0.1, 0.9))
    return Latency(
        median_ms=statistics.median(passes),
        low_ms=float(low),
        high_ms=float(high),
        repeats=repeats,
        rows=len(dense),
        device=dense.device.type,
        threads=torch.get_num_threads(),
    )


class SubnetLatency:
    """Measures subnets of one schema, on one batch.

    The batch is drawn from the schema, the same each time. Embedding tables hold at most 10,000 ids a field, and are
    shared by all subnets.

    Args:
        schema: the features.
        batch_size: rows of the batch.
        layer_norm: whether operators end in a LayerNorm.
        device: `cpu` or `cuda`.
        repeats: passes that are timed.
        warm_up: passes before them.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        *,
        batch_size: int,
        layer_norm: bool = True,
        device: str = "cpu",
        repeats: int = REPEATS,
        warm_up: int = WARM_UP,
    ) -> None:
        fields = tuple(
            field.model_copy(update={"table_size": min(field.table_size, _TABLE_ROWS), "cap": None})
            for field in schema.fields
        )
        self.schema = schema.model_copy(update={"fields": fields})
        self._layer_norm = layer_norm
        self._device = device
        with torch.random.fork_rng(devices=[]):  # start values do not matter, nor may they move anyone's generator
            self._embedding = Embedding(self.schema).to(device)
        self._batch = synthetic_batch(self.schema, batch_size, device)
        self._passes = {"repeats": repeats, "warm_up": warm_up}

    def __call__(self, architecture: Architecture) -> Latency:
        """Build the subnet of an architecture, and measure it."""
        with torch.random.fork_rng(devices=[]):
            subnet = Subnet(architecture, self.schema, layer_norm=self._layer_norm, embedding=self._embedding)
        return measure_latency(subnet.to(self._device), self._batch, **self._passes)


def synthetic_batch(schema: FeatureSchema, rows: int, device: str = "cpu") -> Batch:
    """Rows that the schema allows: equal schemas and numbers of rows give equal rows.

    Args:
        schema: the features.
        rows: B.
        device: where to put them.

    Returns:
        Dense features `(B, D)` float32 and ids `(B, S)` int64.
    """
    rng = np.random.default_rng(0)
    sizes = [field.table_size for field in schema.fields for _ in range(field.columns)]
    dense = rng.normal(size=(rows, schema.num_dense)) * bool(schema.dense)
    ids = rng.integers(sizes, size=(rows, len(sizes)))
    return torch.from_numpy(dense.astype(np.float32)).to(device), torch.from_numpy(ids).to(device)


def _timed(network: nn.Module, dense: Tensor, ids: Tensor) -> float:
    _wait_for(dense.device)
    start = time.perf_counter()
    network(dense, ids)
    _wait_for(dense.device)
    return 1000 * (time.perf_counter() - start)


def _wait_for(device: torch.device) -> None:
    """Launches on an accelerator return before the work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
