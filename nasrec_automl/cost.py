"""What an architecture costs, in closed form: multiply-adds and parameters.

Multiply-adds per example, with w the width of a dense source, T the number of tokens read and E the embedding width:
FC (sum w) d; Dot-Product (sum w) E + T k E + (k + 1)^2 E + k (k + 1) / 2 d; Sigmoid-Gating w_left w_right + w_right d;
Sum max(w_left, w_right) d; Flat-FC (sum w + E T) d; Bi-Interaction (sum w + E) d; EFC and Projection T n E; Attention
T n E + 6 n E^2 + 2 n^2 E; Cross T n E + (n E)^2; mergers 8 E d and E d; the head d + E T.
Embedding lookups (and the products of compositional ones), sums and squares of tokens, biases, normalisation and
activations count nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nasrec_automl import architecture as ops  # as a module: `case FC` would bind a name instead of comparing
from nasrec_automl.architecture import MERGED_TOKENS, Architecture, Block, Live
from nasrec_automl.schema import FeatureSchema


@dataclass(frozen=True, slots=True)
class Profile:
    """Cost of one architecture on one schema.

    Attributes:
        macs: multiply-adds per example of what the logit depends on.
        total_macs: the same with the dead parts, which neither supernet nor subnet runs.
        dense_parameters: parameters of the subnet outside its embedding tables (live parts alone).
        embedding_parameters: parameters of the embedding tables.
        total_dense_parameters: `dense_parameters` with the dead parts, which the subnet does not hold.
    """

    macs: int
    total_macs: int
    dense_parameters: int
    embedding_parameters: int
    total_dense_parameters: int

    @property
    def parameters(self) -> int:
        """All parameters of the subnet."""
        return self.dense_parameters + self.embedding_parameters


def dot_product_tokens(dense_dim: int) -> int:
    """K of the operator-balanced Dot-Product: the number of projected tokens for an output of width `dense_dim`."""
    return round(math.sqrt(2 * dense_dim))


def profile(architecture: Architecture, schema: FeatureSchema, *, layer_norm: bool = True) -> Profile:
    """Count what an architecture costs, without building or running it.

    Args:
        architecture: any architecture.
        schema: the features that it reads.
        layer_norm: whether operators end in a LayerNorm (it decides about biases and its own parameters).

    Example:
        >>> from nasrec_automl import FeatureSchema, load_architecture
        >>> schema = FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26)
        >>> round(profile(load_architecture("criteo-full"), schema).macs / 1e6, 4)
        1.4647
    """
    blocks = architecture.blocks
    dense_widths = [schema.num_dense, *(block.dense_dim for block in blocks)]
    tokens = [
        schema.num_fields,
        *(block.sparse_dim + MERGED_TOKENS * block.dense_to_sparse for block in blocks),
    ]
    macs = total_macs = parameters = total_parameters = 0
    for block, live in zip(blocks, architecture.live, strict=True):
        count = _BlockCount(block, dense_widths, tokens, schema.embedding_dim, layer_norm)
        chosen = Live(dense=True, sparse=True, dense_to_sparse=block.dense_to_sparse, fm=block.fm)
        macs += count.macs(live)
        total_macs += count.macs(chosen)
        parameters += count.parameters(live)
        total_parameters += count.parameters(chosen)
    head = dense_widths[-1] + schema.embedding_dim * tokens[-1]
    return Profile(
        macs=macs + head,
        total_macs=total_macs + head,
        dense_parameters=parameters + head + 1,
        total_dense_parameters=total_parameters + head + 1,
        embedding_parameters=schema.table_rows * schema.embedding_dim,
    )


@dataclass(frozen=True, slots=True)
class _BlockCount:
    block: Block
    dense_widths: list[int]
    tokens: list[int]
    e: int
    layer_norm: bool

    def macs(self, live: Live) -> int:
        block = self.block
        return (
            live.dense * self._dense_macs()
            + live.sparse * self._sparse_macs()
            + live.dense_to_sparse * block.dense_dim * MERGED_TOKENS * self.e
            + live.fm * self.e * block.dense_dim
        )

    def parameters(self, live: Live) -> int:
        block = self.block
        return (
            live.dense * self._dense_parameters()
            + live.sparse * self._sparse_parameters()
            + live.dense_to_sparse * self._closing(block.dense_dim * MERGED_TOKENS * self.e, MERGED_TOKENS * self.e)
            + live.fm * self._closing(self.e * block.dense_dim, block.dense_dim)
        )

    @property
    def _dense_read(self) -> int:
        return sum(self.dense_widths[s] for s in self.block.dense_inputs)

    @property
    def _tokens_read(self) -> int:
        return sum(self.tokens[s] for s in self.block.sparse_inputs)

    @property
    def _sides(self) -> tuple[int, int]:
        return self.dense_widths[self.block.left], self.dense_widths[self.block.right]

    def _dense_macs(self) -> int:
        d, e = self.block.dense_dim, self.e
        left, right = self._sides
        match self.block.dense_op:
            case ops.FC:
                return self._dense_read * d
            case ops.DOT_PRODUCT:
                k = dot_product_tokens(d)
                return self._dense_read * e + self._tokens_read * k * e + (k + 1) ** 2 * e + k * (k + 1) // 2 * d
            case ops.SIGMOID_GATING:
                return left * right + right * d
            case ops.SUM:
                return max(left, right) * d
            case ops.FLAT_FC:
                return (self._dense_read + e * self._tokens_read) * d
            case ops.BI_INTERACTION:
                return (self._dense_read + e) * d
        raise AssertionError(self.block.dense_op)

    def _sparse_macs(self) -> int:
        n, e = self.block.sparse_dim, self.e
        projection = self._tokens_read * n * e
        match self.block.sparse_op:
            case ops.EFC | ops.PROJECTION:
                return projection
            case ops.ATTENTION:
                return projection + 6 * n * e**2 + 2 * n**2 * e
            case ops.CROSS:
                return projection + (n * e) ** 2
        raise AssertionError(self.block.sparse_op)

    def _closing(self, weights: int, width: int, *, bias: bool = False) -> int:
        """Parameters of an operator's last Linear with its LayerNorm, which makes its bias needless."""
        return weights + (2 * width + bias * width if self.layer_norm else width)

    def _dense_parameters(self) -> int:
        d, e = self.block.dense_dim, self.e
        left, right = self._sides
        match self.block.dense_op:
            case ops.FC:
                return self._closing(self._dense_read * d, d)
            case ops.DOT_PRODUCT:
                k = dot_product_tokens(d)
                projections = self._dense_read * e + e + self._tokens_read * k + k
                return projections + self._closing(k * (k + 1) // 2 * d, d)
            case ops.SIGMOID_GATING:
                return left * right + right + self._closing(right * d, d, bias=True)
            case ops.SUM:
                return self._closing(max(left, right) * d, d)
            case ops.FLAT_FC | ops.BI_INTERACTION:
                return self._closing(self._dense_macs(), d)
        raise AssertionError(self.block.dense_op)

    def _sparse_parameters(self) -> int:
        n, e = self.block.sparse_dim, self.e
        weights = self._tokens_read * n
        match self.block.sparse_op:
            case ops.EFC | ops.PROJECTION:
                return self._closing(weights, n)
            case ops.ATTENTION:
                # Four projections and two feed-forward Linears over E, all with biases, and two LayerNorms over E.
                return self._closing(weights, n, bias=True) + 6 * (e * e + e) + 4 * e
            case ops.CROSS:
                return self._closing(weights, n, bias=True) + (n * e) ** 2 + n * e
        raise AssertionError(self.block.sparse_op)
