"""The published way to share weights, in the place of our supernet."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from nasrec_automl import FeatureSchema, SearchSpace
from nasrec_automl.network import Supernet
from nasrec_automl.network.embedding import Embedding
from tests.benchmarks.masked import MaskedSupernet


class MaskedTwin(MaskedSupernet):
    """A masked supernet with our supernet's tables (of sparse gradients) and its start values, drawn as it draws them.

    What is left of the difference is the function: LayerNorm over the full width before the mask, the largest k of
    Dot-Product, the largest number of tokens in attention.
    """

    def __init__(
        self,
        space: SearchSpace,
        schema: FeatureSchema,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        embedding: Embedding | None = None,
    ) -> None:
        ours = Supernet(space, schema, layer_norm=layer_norm, embedding=embedding)
        super().__init__(space, schema, layer_norm=layer_norm, dropout=dropout, embedding=ours.embedding)
        self.copy_weights(ours)


@contextmanager
def masked() -> Iterator[None]:
    """The supernet stage trains, writes and reads masked supernets in the block; scores are theirs."""
    places = ("nasrec_automl.nni_plugin.supermodule.Supernet", "nasrec_automl.network.weights.Supernet")
    with patch(places[0], MaskedTwin), patch(places[1], MaskedTwin):
        yield
