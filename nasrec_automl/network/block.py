"""One choice block: any earlier sources in, one dense and one sparse tensor out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from torch import Tensor, nn

from nasrec_automl.architecture import Live, PathBlock
from nasrec_automl.network.plan import BlockPlan, merged_name, source_name
from nasrec_automl.ops import DENSE_OP_CLASSES, SPARSE_OP_CLASSES, BlockInputs
from nasrec_automl.ops.mergers import DenseToSparse, FactorizationMachine


@dataclass(frozen=True, slots=True)
class Source:
    """What later blocks may read.

    Attributes:
        dense: `(B, d)`; nothing where no one reads it.
        tokens: `(B, E, n)` of the operators, then `(B, E, 8)` of the merger where it is on, by name.
    """

    dense: Tensor | None
    tokens: tuple[tuple[str, Tensor], ...]


class Block(nn.Module):
    """The operators and mergers of one block."""

    def __init__(self, number: int, plan: BlockPlan, embedding_dim: int, *, layer_norm: bool, dropout: float) -> None:
        super().__init__()
        self.number = number
        self.dense_ops = nn.ModuleDict({op: DENSE_OP_CLASSES[op](shape) for op, shape in plan.dense.items()})
        self.sparse_ops = nn.ModuleDict({op: SPARSE_OP_CLASSES[op](shape) for op, shape in plan.sparse.items()})
        self.dense_to_sparse = (
            DenseToSparse(plan.dense_dim, embedding_dim, layer_norm=layer_norm) if plan.dense_to_sparse else None
        )
        self.fm = FactorizationMachine(embedding_dim, plan.dense_dim, layer_norm=layer_norm) if plan.fm else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, sources: Sequence[Source], choice: PathBlock, live: Live) -> Source:
        """Run what is live of one block of a path.

        Args:
            sources: the raw input and the outputs of the blocks before.
            choice: what the path chose for this block.
            live: which of the block's nodes anything depends on.
        """
        dense = own = None
        tokens: tuple[tuple[str, Tensor], ...] = ()
        read_tokens = list(chain.from_iterable(sources[s].tokens for s in choice.sparse_inputs))
        if live.sparse:
            own = _add([self.sparse_ops[op](read_tokens, choice.sparse_dim) for op in choice.sparse_ops])
            tokens = ((source_name(self.number), own),)
        if live.dense:
            inputs = BlockInputs(
                dense=[(source_name(s), x) for s in choice.dense_inputs if (x := sources[s].dense) is not None],
                tokens=read_tokens,
                left=[x for s in choice.left if (x := sources[s].dense) is not None],
                right=[x for s in choice.right if (x := sources[s].dense) is not None],
            )
            dense = _add([self.dense_ops[op](inputs, choice.dense_dim) for op in choice.dense_ops])
        merged = self.dense_to_sparse(dense) if live.dense_to_sparse and self.dense_to_sparse is not None else None
        if live.fm and self.fm is not None:
            dense = dense + self.fm(own, choice.dense_dim)
        if merged is not None:
            tokens = (*tokens, (merged_name(self.number), merged))
        return Source(None if dense is None else self.dropout(dense), tokens)


def _add(outputs: Sequence[Tensor]) -> Tensor:
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total
