"""The network to compare with: a supernet at full width whose sub-networks are masks.

The published method's way (README.md here says what is fair about it): each operator is one full-width matrix over the
concatenation of all earlier sources, with zeros for the inputs that a path does not have; what a path makes narrower
is computed at full width and masked; a block that nothing reads is computed. Parameters have our supernet's names, with
`weight` where ours has one weight a source. It runs where a supernet does: the ablations train it in one's place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl import FeatureSchema, SearchSpace
from nasrec_automl.architecture import (
    ATTENTION,
    BI_INTERACTION,
    CROSS,
    DOT_PRODUCT,
    EFC,
    FC,
    FLAT_FC,
    MERGED_TOKENS,
    PROJECTION,
    SIGMOID_GATING,
    SUM,
    TOKEN_OPS,
    TWO_INPUT_OPS,
    Architecture,
    Path,
    PathBlock,
)
from nasrec_automl.cost import dot_product_tokens
from nasrec_automl.network import Supernet
from nasrec_automl.ops.attention import HEADS

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class _Source:
    """A source's dense `(B, w)` and sparse tensors `(B, E, N)`, those of a block at full width."""

    dense: Tensor
    tokens: tuple[Tensor, ...]


class _Zeros:
    """Constant zeros of a batch, made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, like: Tensor, *shape: int) -> Tensor:
        if shape not in self._made:
            with torch.inference_mode(False):
                self._made[shape] = torch.zeros(shape)
        return self._made[shape].to(like)


def _norm(width: int, layer_norm: bool) -> nn.Module:
    return nn.LayerNorm(width) if layer_norm else nn.Identity()


class _Tables(nn.Embedding):
    """One stacked table of single-valued fields; its gradients are dense."""

    offsets: Tensor

    def __init__(self, schema: FeatureSchema) -> None:
        super().__init__(sum(schema.table_sizes), schema.embedding_dim)
        sizes = torch.tensor([0, *schema.table_sizes])
        self.register_buffer("offsets", sizes.cumsum(0)[:-1], persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up `(B, F)` ids: `(B, E, F)`."""
        return super().forward(ids + self.offsets).transpose(1, 2).contiguous()


class _FC(nn.Module):
    def __init__(self, width: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, d, bias=not layer_norm), _norm(d, layer_norm)

    def forward(self, dense: Tensor) -> Tensor:
        return F.relu(self.norm(self.linear(dense)))


class _DotProduct(nn.Module):
    """All pairs of the projected dense vector and the largest number of projected tokens."""

    pairs: Tensor

    def __init__(self, width: int, tokens: int, e: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        k = dot_product_tokens(d)
        self.project_dense, self.project_tokens = nn.Linear(width, e), nn.Linear(tokens, k)
        self.linear, self.norm = nn.Linear(k * (k + 1) // 2, d, bias=not layer_norm), _norm(d, layer_norm)
        rows, columns = torch.tril_indices(k + 1, k + 1, -1)
        self.register_buffer("pairs", rows * (k + 1) + columns, persistent=False)

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        vectors = torch.cat([self.project_dense(dense).unsqueeze(-1), self.project_tokens(tokens)], -1)  # (B, E, k + 1)
        products = torch.bmm(vectors.transpose(1, 2), vectors).flatten(1)  # (B, (k + 1)^2)
        out: Tensor = self.norm(self.linear(products.index_select(1, self.pairs)))
        return out


class _SigmoidGating(nn.Module):
    def __init__(self, side: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.gate, self.linear, self.norm = nn.Linear(side, side), nn.Linear(side, d), _norm(d, layer_norm)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(right * torch.sigmoid(self.gate(left))))
        return out


class _Sum(nn.Module):
    def __init__(self, side: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(side, d, bias=not layer_norm), _norm(d, layer_norm)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(left + right))
        return out


class _FlatFC(nn.Module):
    def __init__(self, width: int, elements: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.dense, self.tokens = nn.Linear(width, d, bias=not layer_norm), nn.Linear(elements, d, bias=False)
        self.norm = _norm(d, layer_norm)

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        return F.relu(self.norm(self.dense(dense) + self.tokens(tokens.transpose(1, 2).flatten(1))))


class _BiInteraction(nn.Module):
    def __init__(self, width: int, e: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.dense, self.pooled = nn.Linear(width, d, bias=not layer_norm), nn.Linear(e, d, bias=False)
        self.norm = _norm(d, layer_norm)

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        pairs = (tokens.sum(-1).square() - tokens.square().sum(-1)) / 2
        out: Tensor = self.norm(self.dense(dense) + self.pooled(pairs))
        return out


class _Projection(nn.Module):
    def __init__(self, tokens: int, n: int, layer_norm: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(tokens, n, bias=not layer_norm), _norm(n, layer_norm)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(tokens))
        return out


class _EFC(_Projection):
    def forward(self, tokens: Tensor) -> Tensor:
        return F.relu(super().forward(tokens))


class _Attention(nn.Module):
    """One transformer layer over the largest number of tokens.

    `scaled_dot_product_attention` and not `nn.MultiheadAttention`: it is the faster of the two at these shapes.
    """

    def __init__(self, tokens: int, n: int, e: int, layer_norm: bool) -> None:
        super().__init__()
        self.project, self.norm = nn.Linear(tokens, n), _norm(n, layer_norm)
        self.heads = math.gcd(HEADS, e)
        self.query_key_value, self.out = nn.Linear(e, 3 * e), nn.Linear(e, e)
        self.attended_norm = nn.LayerNorm(e)
        self.feed_in, self.feed_out = nn.Linear(e, e), nn.Linear(e, e)
        self.fed_norm = nn.LayerNorm(e)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.project(tokens)).transpose(1, 2)  # (B, n, E)
        heads = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, n, E / H)
        attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = self.attended_norm(x + self.out(attended))
        x = self.fed_norm(x + self.feed_out(F.relu(self.feed_in(x))))
        return x.transpose(1, 2)


class _Cross(nn.Module):
    def __init__(self, tokens: int, n: int, e: int, layer_norm: bool) -> None:
        super().__init__()
        self.project, self.norm = nn.Linear(tokens, n), _norm(n, layer_norm)
        self.linear = nn.Linear(n * e, n * e)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.project(tokens)  # (B, E, n)
        factors = self.linear(x.transpose(1, 2).flatten(1)).unflatten(1, (-1, x.shape[1])).transpose(1, 2)
        out: Tensor = self.norm(x + x * factors)
        return out


class _DenseToSparse(nn.Module):
    def __init__(self, d: int, e: int, layer_norm: bool) -> None:
        super().__init__()
        self.e = e
        self.linear, self.norm = (
            nn.Linear(d, MERGED_TOKENS * e, bias=not layer_norm),
            _norm(MERGED_TOKENS * e, layer_norm),
        )

    def forward(self, dense: Tensor) -> Tensor:
        merged: Tensor = self.norm(self.linear(dense))
        return merged.view(-1, self.e, MERGED_TOKENS)


class _FM(nn.Module):
    def __init__(self, e: int, d: int, layer_norm: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(e, d, bias=not layer_norm), _norm(d, layer_norm)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(tokens.sum(-1).square() - tokens.square().sum(-1)))
        return out


class _Block(nn.Module):
    """One block at full width.

    Args:
        space: of the supernet.
        widths: of the earlier sources' dense tensors.
        tokens: of the earlier sources' sparse tensors.
        e: embedding width.
        zeros: for the inputs that a path does not have.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the dense output.
    """

    def __init__(
        self,
        space: SearchSpace,
        widths: Sequence[int],
        tokens: Sequence[int],
        e: int,
        zeros: _Zeros,
        *,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        d, n, width, count, self.side = _d(space), _n(space), sum(widths), sum(tokens), max(widths)
        dense = {
            FC: lambda: _FC(width, d, layer_norm),
            DOT_PRODUCT: lambda: _DotProduct(width, count, e, d, layer_norm),
            SIGMOID_GATING: lambda: _SigmoidGating(self.side, d, layer_norm),
            SUM: lambda: _Sum(self.side, d, layer_norm),
            FLAT_FC: lambda: _FlatFC(width, count * e, d, layer_norm),
            BI_INTERACTION: lambda: _BiInteraction(width, e, d, layer_norm),
        }
        sparse = {
            EFC: lambda: _EFC(count, n, layer_norm),
            ATTENTION: lambda: _Attention(count, n, e, layer_norm),
            CROSS: lambda: _Cross(count, n, e, layer_norm),
            PROJECTION: lambda: _Projection(count, n, layer_norm),
        }
        self.dense_ops = nn.ModuleDict({op: dense[op]() for op in space.dense_ops})
        self.sparse_ops = nn.ModuleDict({op: sparse[op]() for op in space.sparse_ops})
        self.dense_to_sparse = _DenseToSparse(d, e, layer_norm) if True in space.dense_to_sparse else None
        self.fm = _FM(e, d, layer_norm) if True in space.fm else None
        self.dropout = nn.Dropout(dropout)
        self.zeros = zeros
        self.masks = {width: (torch.arange(d) < width).float() for width in space.dense_dims if width < d}
        self.masks |= {-count: (torch.arange(n) < count).float() for count in space.sparse_dims if count < n}

    def forward(self, sources: Sequence[_Source], choice: PathBlock) -> _Source:
        tokens = self._read([source.tokens for source in sources], choice.sparse_inputs)
        own = self._mask(_add([self.sparse_ops[op](tokens) for op in choice.sparse_ops]), -choice.sparse_dim)
        operators = self._mask(self._dense(sources, tokens, choice), choice.dense_dim)
        dense, written = operators, (own,)
        if choice.fm and self.fm is not None:
            dense = dense + self._mask(self.fm(own), choice.dense_dim)
        if self.dense_to_sparse is not None:
            none = self.zeros(own, *own.shape[:2], MERGED_TOKENS)
            written = (own, self.dense_to_sparse(operators) if choice.dense_to_sparse else none)
        return _Source(self.dropout(dense), written)

    def _dense(self, sources: Sequence[_Source], tokens: Tensor, choice: PathBlock) -> Tensor:
        outputs = []
        if not TWO_INPUT_OPS.issuperset(choice.dense_ops):
            read = self._read([(source.dense,) for source in sources], choice.dense_inputs)
            outputs += [self.dense_ops[op](read) for op in choice.dense_ops if op == FC]
            outputs += [self.dense_ops[op](read, tokens) for op in choice.dense_ops if op in TOKEN_OPS]
        if not TWO_INPUT_OPS.isdisjoint(choice.dense_ops):
            left, right = (_add([self._wide(sources[s].dense) for s in side]) for side in (choice.left, choice.right))
            outputs += [self.dense_ops[op](left, right) for op in choice.dense_ops if op in TWO_INPUT_OPS]
        return _add(outputs)

    def _read(self, tensors: Sequence[tuple[Tensor, ...]], chosen: Sequence[int]) -> Tensor:
        """Concatenate all sources, zeros for those that are not chosen."""
        pieces = [x if s in chosen else self.zeros(x, *x.shape) for s, source in enumerate(tensors) for x in source]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, -1)

    def _wide(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, self.side - x.shape[-1])) if x.shape[-1] < self.side else x

    def _mask(self, x: Tensor, width: int) -> Tensor:
        return x * self.masks[width].to(x) if width in self.masks else x


class MaskedSupernet(nn.Module):
    """Runs a path of a space at full width, with masks.

    Args:
        space: every operator, width and merger is built at its largest.
        schema: single-valued fields, where no embedding is given.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        embedding: maps ids to `(B, E, F)`; by default a table with dense gradients.
    """

    def __init__(
        self,
        space: SearchSpace,
        schema: FeatureSchema,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        e, d, n = schema.embedding_dim, _d(space), _n(space)
        merged = MERGED_TOKENS * (True in space.dense_to_sparse)
        widths = [schema.num_dense] + [d] * space.blocks
        tokens = [schema.num_fields] + [n + merged] * space.blocks
        zeros = _Zeros()
        self.space, self.schema, self.layer_norm = space, schema, layer_norm
        self.embedding = _Tables(schema) if embedding is None else embedding
        self.blocks = nn.ModuleDict(
            {
                str(i): _Block(space, widths[:i], tokens[:i], e, zeros, layer_norm=layer_norm, dropout=dropout)
                for i in range(1, space.blocks + 1)
            }
        )
        self.head = nn.Linear(d + e * tokens[-1], 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, dense: Tensor, ids: Tensor, choice: Architecture | Path) -> Tensor:
        """Logits `(B,)` of `(B, D)` dense features and the ids `(B, S)` of an architecture or path."""
        last = self._last_source(dense, ids, choice)
        logits: Tensor = self.head(torch.cat([last.dense, *(x.flatten(1) for x in last.tokens)], 1))
        return logits.squeeze(1)

    def features(self, dense: Tensor, ids: Tensor, architecture: Architecture) -> Tensor:
        """What no mask clears of what the head reads, `(B, d + E N)`."""
        block, parts = architecture.blocks[-1], []
        for rows in zip(dense.split(_ROWS_AT_ONCE), ids.split(_ROWS_AT_ONCE), strict=True):
            last = self._last_source(*rows, architecture)
            own, *merged = last.tokens
            tokens = [own[..., : block.sparse_dim], *(merged if block.dense_to_sparse else [])]
            parts.append(torch.cat([last.dense[:, : block.dense_dim], *(x.flatten(1) for x in tokens)], 1))
        return torch.cat(parts)

    def head_weight(self, architecture: Architecture) -> Tensor:
        """The head's weights for `features` of an architecture, `(d + E N,)`."""
        block, d, n = architecture.blocks[-1], _d(self.space), _n(self.space)
        e = self.schema.embedding_dim
        dense, own, merged = self.head.weight[0].tensor_split([d, d + e * n])
        parts = [dense[: block.dense_dim], own.view(e, n)[:, : block.sparse_dim].flatten()]
        return torch.cat([*parts, merged] if block.dense_to_sparse else parts)

    @torch.no_grad()
    def copy_weights(self, supernet: Supernet) -> None:
        """Take the weights of our supernet, of the same space, schema and LayerNorm."""
        ours = dict(supernet.named_parameters())
        for name, parameter in self.named_parameters():
            pieces = [ours[key] for key in ours if key.startswith(f"{name}s.")]  # `weight` and `weights.<source>`
            if name == "head.weight":
                tokens = [ours[key].flatten() for key in ours if key.startswith("head.tokens.")]
                parameter.copy_(torch.cat([ours["head.dense"], *tokens]).unsqueeze(0))
            elif name == "head.bias":
                parameter.copy_(ours[name])
            else:
                parameter.copy_(torch.cat(pieces, 1) if pieces else ours[name])

    def _last_source(self, dense: Tensor, ids: Tensor, choice: Architecture | Path) -> _Source:
        path = choice if isinstance(choice, Path) else choice.path
        sources = [_Source(dense, (self.dropout(self.embedding(ids)),))]
        for block, chosen in zip(self.blocks.values(), path.blocks, strict=True):
            sources.append(block(sources, chosen))
        return sources[-1]


def _add(tensors: Sequence[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _d(space: SearchSpace) -> int:
    return max(space.dense_dims)


def _n(space: SearchSpace) -> int:
    return max(space.sparse_dims)
