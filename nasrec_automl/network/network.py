"""What supernet and subnet share: embedding, blocks, head, and how a path runs through them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasrec_automl.architecture import Path
from nasrec_automl.network.block import Block, Source
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.head import Head
from nasrec_automl.network.plan import NetworkPlan, source_name
from nasrec_automl.schema import FeatureSchema

_ROWS_AT_ONCE = 1024


def in_parts(dense: Tensor, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Cut a batch so that what operators write stays in a CPU's cache; not where gradients or a GPU want it whole."""
    whole = torch.is_grad_enabled() or dense.device.type != "cpu" or torch.compiler.is_compiling()
    if whole or len(dense) <= _ROWS_AT_ONCE:
        return [(dense, ids)]
    starts = range(0, len(dense), _ROWS_AT_ONCE)
    return [(dense[i : i + _ROWS_AT_ONCE], ids[i : i + _ROWS_AT_ONCE]) for i in starts]


class Network(nn.Module):
    """A network built from a plan. `Supernet` and `Subnet` differ in the plan and in which paths they run.

    Args:
        plan: sizes of the blocks and of the head.
        schema: the features.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        embedding: tables to use instead of new ones.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        schema: FeatureSchema,
        *,
        layer_norm: bool,
        dropout: float,
        embedding: Embedding | None = None,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.layer_norm = layer_norm
        self.embedding = Embedding(schema) if embedding is None else embedding
        self.blocks = nn.ModuleDict(
            {
                str(number): Block(number, block, schema.embedding_dim, layer_norm=layer_norm, dropout=dropout)
                for number, block in plan.blocks.items()
            }
        )
        self.head = Head(plan.head_dense, plan.head_tokens, schema.embedding_dim)
        self.dropout = nn.Dropout(dropout)

    def last_source(self, dense: Tensor, ids: Tensor, path: Path) -> Source:
        """Run the live part of a path up to the head.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)` int64.
            path: a path whose live part this network holds.

        Returns:
            What the head reads.
        """
        raw = self.dropout(self.embedding(ids))
        sources = [Source(dense, ((source_name(0), raw),))]
        for number, (choice, live) in enumerate(zip(path.blocks, path.live, strict=True), 1):
            if live.dense or live.sparse:
                sources.append(self.blocks[str(number)](sources, choice, live))
            else:
                sources.append(Source(None, ()))
        return sources[-1]

    def run_path(self, dense: Tensor, ids: Tensor, path: Path) -> Tensor:
        """Logits of a path, `(B,)`."""
        parts = [self.head(self.last_source(*rows, path)) for rows in in_parts(dense, ids)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
