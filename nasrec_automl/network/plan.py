"""What to build: the sizes of every block, for a supernet and for a subnet.

One block class serves both; only the plan differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nasrec_automl.architecture import MERGED_TOKENS, TWO_INPUT_OPS, Architecture
from nasrec_automl.ops import OpShape
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace


def source_name(source: int) -> str:
    """Name of a source's dense output, and of the tokens that its operators wrote."""
    return f"s{source}"


def merged_name(source: int) -> str:
    """Name of the tokens that a source's dense-to-sparse merger wrote."""
    return f"s{source}_merged"


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What one block is built from.

    Attributes:
        dense: the shape of each dense operator by name.
        sparse: the shape of each sparse operator by name.
        dense_dim: widest dense output.
        dense_to_sparse: whether the dense-to-sparse merger is built.
        fm: whether the FM merger is built.
    """

    dense: Mapping[str, OpShape]
    sparse: Mapping[str, OpShape]
    dense_dim: int
    dense_to_sparse: bool
    fm: bool


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What a network is built from.

    Attributes:
        blocks: the blocks that are built, by number.
        head_dense: widest dense input of the head.
        head_tokens: token count of each sparse input of the head by name.
    """

    blocks: Mapping[int, BlockPlan]
    head_dense: int
    head_tokens: Mapping[str, int]


def supernet_plan(space: SearchSpace, schema: FeatureSchema, *, layer_norm: bool) -> NetworkPlan:
    """Plan the network that holds every choice at its largest size."""
    d, n, merges = max(space.dense_dims), max(space.sparse_dims), True in space.dense_to_sparse
    widths = [schema.num_dense] + [d] * space.blocks
    tokens = [_tokens(0, schema.num_fields, merged=False)]
    tokens += [_tokens(number, n, merged=merges) for number in range(1, space.blocks + 1)]
    blocks = {}
    for number in range(1, space.blocks + 1):
        side = max(widths[:number])
        shape = OpShape(
            dense={source_name(s): widths[s] for s in range(number)},
            tokens=_join(tokens[:number]),
            dense_fan_in=_largest(widths[:number], space.max_inputs),
            tokens_fan_in=_largest([sum(t.values()) for t in tokens[:number]], space.max_inputs),
            left=side,
            right=side,
            out=d,
            embedding_dim=schema.embedding_dim,
            layer_norm=layer_norm,
        )
        blocks[number] = BlockPlan(
            dense=dict.fromkeys(space.dense_ops, shape),
            sparse=dict.fromkeys(space.sparse_ops, replace(shape, out=n)),
            dense_dim=d,
            dense_to_sparse=merges,
            fm=True in space.fm,
        )
    return NetworkPlan(blocks, head_dense=d, head_tokens=tokens[-1])


def subnet_plan(architecture: Architecture, schema: FeatureSchema, *, layer_norm: bool) -> NetworkPlan:
    """Plan the network of one architecture: its own sizes, live parts alone."""
    widths = [schema.num_dense, *(block.dense_dim for block in architecture.blocks)]
    tokens = [_tokens(0, schema.num_fields, merged=False)]
    tokens += [
        _tokens(number, block.sparse_dim, merged=block.dense_to_sparse)
        for number, block in enumerate(architecture.blocks, 1)
    ]
    blocks = {}
    for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
        if not live.dense and not live.sparse:
            continue
        reads_sides = block.dense_op in TWO_INPUT_OPS
        dense = {} if reads_sides else {source_name(s): widths[s] for s in block.dense_inputs}
        read_tokens = _join([tokens[s] for s in block.sparse_inputs])
        shape = OpShape(
            dense=dense,
            tokens=read_tokens,
            dense_fan_in=sum(dense.values()),
            tokens_fan_in=sum(read_tokens.values()),
            left=widths[block.left],
            right=widths[block.right],
            out=block.dense_dim,
            embedding_dim=schema.embedding_dim,
            layer_norm=layer_norm,
        )
        blocks[number] = BlockPlan(
            dense={block.dense_op: shape} if live.dense else {},
            sparse={block.sparse_op: replace(shape, out=block.sparse_dim)} if live.sparse else {},
            dense_dim=block.dense_dim,
            dense_to_sparse=live.dense_to_sparse,
            fm=live.fm,
        )
    return NetworkPlan(blocks, head_dense=widths[-1], head_tokens=tokens[-1])


def _tokens(source: int, count: int, *, merged: bool) -> dict[str, int]:
    own = {source_name(source): count}
    return {**own, merged_name(source): MERGED_TOKENS} if merged else own


def _join(tokens: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: count for pieces in tokens for name, count in pieces.items()}


def _largest(widths: Sequence[int], count: int) -> int:
    return sum(sorted(widths)[-count:])
