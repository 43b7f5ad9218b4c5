"""What supernet and subnet share: embedding, blocks, head, and how a path runs through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasrec_automl.architecture import Path
from nasrec_automl.data.check import InputCheck
from nasrec_automl.errors import CheckpointError, DataError
from nasrec_automl.network.block import Block, Source
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.head import Head
from nasrec_automl.network.plan import NetworkPlan, source_name
from nasrec_automl.ops.base import is_traced
from nasrec_automl.ops.slices import drop_slice_gradient
from nasrec_automl.schema import FeatureSchema

_ROWS_AT_ONCE = 1024


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
        self.input_check = InputCheck(schema)
        self.register_load_state_dict_pre_hook(_check_tables)  # type: ignore[no-untyped-call]

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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, those of slices too; a module around the network does not call this."""
        super().zero_grad(set_to_none)
        for parameter in self.parameters():
            drop_slice_gradient(parameter)

    def run_path(self, dense: Tensor, ids: Tensor, path: Path) -> Tensor:
        """Logits of a path, `(B,)`."""
        parts = [self.head(self.last_source(*rows, path)) for rows in self._parts(dense, ids)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _parts(self, dense: Tensor, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Check a batch, and cut it so that what operators write stays in a CPU's cache.

        It stays whole where gradients, a GPU or a compiler want it so.
        """
        self.check(dense, ids)
        whole = torch.is_grad_enabled() or dense.device.type != "cpu" or is_traced()
        if whole or len(dense) <= _ROWS_AT_ONCE:
            return [(dense, ids)]
        starts = range(0, len(dense), _ROWS_AT_ONCE)
        return [(dense[i : i + _ROWS_AT_ONCE], ids[i : i + _ROWS_AT_ONCE]) for i in starts]

    def check(self, dense: Tensor, ids: Tensor) -> None:
        """Check a batch; whoever runs a network's parts by themselves calls it first.

        Raises:
            DataError: inputs that do not fit the schema or the weights. Not while training on an accelerator, where
                a look at the values would wait for the device: there `ClickModule` checks batches before they move.
        """
        if is_traced() or ids.is_meta:  # no values to look at; export leaves no trace of it
            return
        weight = self.embedding.weight
        # Of all floats autocast leaves these alone.
        is_converted = dense.dtype != torch.float64 and torch.is_autocast_enabled(dense.device.type)
        if dense.dtype != weight.dtype and not is_converted:
            raise DataError(
                f"dense features must be of the network's own type {weight.dtype}, but are {dense.dtype}: convert them"
            )
        if ids.device.type == "cpu" or not self.training:
            self.input_check(dense, ids)


def _check_tables(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Say in a sentence what torch says in many lines: the weights are of another schema."""
    assert isinstance(module, Network)
    found, schema = state.get(f"{prefix}embedding.weight"), module.schema
    expected = module.embedding.weight.shape
    if found is not None and found.shape != expected:
        raise CheckpointError(
            f"the weights hold embeddings of {found.shape[0]:,} rows and width {found.shape[1]}, but the network's "
            f"schema has {expected[0]:,} rows in {schema.num_fields} fields and width {expected[1]}: they were trained "
            "on other data; load them into a network of their own schema"
        )
