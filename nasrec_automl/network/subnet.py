"""The subnet: the stand-alone network of one architecture."""

from __future__ import annotations

from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.network import Network
from nasrec_automl.network.plan import subnet_plan
from nasrec_automl.schema import FeatureSchema


class Subnet(Network):
    """One architecture at its own sizes, live parts alone: plain PyTorch, exportable.

    Args:
        architecture: what to build.
        schema: the features.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        embedding: tables to use instead of new ones.
    """

    def __init__(
        self,
        architecture: Architecture,
        schema: FeatureSchema,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        embedding: Embedding | None = None,
    ) -> None:
        plan = subnet_plan(architecture, schema, layer_norm=layer_norm)
        super().__init__(plan, schema, layer_norm=layer_norm, dropout=dropout, embedding=embedding)
        self.architecture = architecture

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)` int64.

        Returns:
            `(B,)`.
        """
        return self.run_path(dense, ids, self.architecture.path)
