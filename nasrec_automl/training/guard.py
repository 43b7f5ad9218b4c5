"""What stops a training before it spoils its weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nasrec_automl.data.check import check_targets
from nasrec_automl.errors import DataError, DivergedError
from nasrec_automl.network import Network
from nasrec_automl.network.weights import is_finite

ADVICE = (
    "Lower the learning rate, standardise the dense features, or turn layer_norm on: without it every FM merger "
    "squares what the one before gave"
)


def check_batch(model: nn.Module, batch: Any) -> None:
    """Check a batch of (dense, ids, label) or (dense, ids, label, weight).

    Args:
        model: what will read it; inputs are checked against the schema of the network in it.
        batch: as a loader gave it.

    Raises:
        DataError: it is not such a batch, or holds a bad value.
    """
    if not isinstance(batch, tuple | list) or not all(isinstance(part, Tensor) for part in batch):
        raise DataError(f"a batch must be a tuple of tensors (dense, ids, label[, weight]), but is {_kind(batch)}")
    if len(batch) not in (3, 4):
        raise DataError(f"a batch must hold dense, ids, label and perhaps weight, but holds {len(batch)} tensors")
    dense, ids, label, *weight = batch
    network = next((module for module in model.modules() if isinstance(module, Network)), None)
    if network is not None:
        network.input_check(dense, ids)
    check_targets(len(ids), label, *weight)


def check_weights(state: dict[str, Any]) -> None:
    """Raise unless every weight is finite: what is written must be worth going on from.

    Raises:
        DivergedError: some are not; the message names the first such tensor.
    """
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not is_finite(tensor):
            raise DivergedError(f"the weights {name} are no longer finite, so that they were not written. {ADVICE}")


def _kind(batch: Any) -> str:
    if isinstance(batch, tuple | list):
        return f"one of {', '.join(type(part).__name__ for part in batch)}"
    return f"a {type(batch).__name__}"
