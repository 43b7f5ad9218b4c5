"""What the networks of a `NasRecSpace` have in common beside its space and its schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nasrec_automl.network.head import clear_head
from nasrec_automl.network.network import Network
from nasrec_automl.training.seed import seeded

N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class NetworkOptions:
    """How a network begins.

    Args:
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        seed: of the start values.
        sparse_gradients: whether the embeddings' gradients hold the rows of the batch alone.
    """

    layer_norm: bool = True
    dropout: float = 0.0
    seed: int = 0
    sparse_gradients: bool = True

    def begin(self, make: Callable[..., N]) -> N:
        """Make a network with new weights; `make` takes `layer_norm` and `dropout`."""
        with seeded(self.seed):
            network = make(layer_norm=self.layer_norm, dropout=self.dropout)
        clear_head(network.head)
        network.embedding.sparse_gradients = self.sparse_gradients
        return network
