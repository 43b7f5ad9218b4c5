"""Embedding tables: one matrix for all fields, so that a batch is one lookup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.schema import FeatureSchema


class Embedding(nn.Module):
    """The tables of all fields, stacked.

    Gradients are sparse, unless `sparse_gradients` is set to False: they hold the rows of the batch and no others. The
    tokens of a multi-valued field are pooled over the ids that are not 0; one without any gives zeros.

    A compositional field has two tables (Shi et al. 2019, arXiv 1909.02107, element-wise product). Id 0 has the row 0
    of both for itself. The ids from 1 on are cut into runs of m: the remainder, 1 to m, is an id's place in its run;
    the quotient, from 1, is the run's number. No two ids have both in common.

    The ids of a capped field that lie beyond its table have the row 0, or share the others.

    Args:
        schema: the features.
        drawn: whether there are start values; without them the tables hold anything until they are loaded.
    """

    offsets: Tensor
    composed: Tensor
    runs: Tensor
    limits: Tensor
    shared: Tensor

    def __init__(self, schema: FeatureSchema, *, drawn: bool = True) -> None:
        super().__init__()
        columns = [field for field in schema.fields for _ in range(field.columns)]
        segments = [number for number, field in enumerate(schema.fields) for _ in range(field.columns)]
        composed = [column for column, field in enumerate(columns) if field.compositional is not None]
        starts = [0, *accumulate(sum(field.tables) for field in schema.fields)]
        # Of each id column, then of each compositional column's quotients.
        offsets = [starts[s] for s in segments] + [starts[segments[c]] + columns[c].tables[0] for c in composed]
        self.sparse_gradients = True
        self.pooled = schema.num_columns > schema.num_fields
        self.runs_of_columns = _runs(schema)
        self.composes = bool(composed)
        self.capped = any(field.cap is not None for field in schema.fields)
        self.weight = nn.Parameter(torch.empty(schema.table_rows, schema.embedding_dim))
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)
        self.register_buffer("composed", torch.tensor(composed, dtype=torch.long), persistent=False)
        runs = torch.tensor([columns[c].remainders for c in composed], dtype=torch.long)
        self.register_buffer("runs", runs, persistent=False)
        limits = torch.tensor([field.cap or field.table_size for field in columns])
        self.register_buffer("limits", limits, persistent=False)
        shared = torch.tensor([field.beyond_cap == "shared" for field in columns])
        self.register_buffer("shared", shared, persistent=False)
        if drawn:
            self._draw(schema, starts)

    @torch.no_grad()
    def _draw(self, schema: FeatureSchema, starts: Sequence[int]) -> None:
        for start, field in zip(starts, schema.fields, strict=False):
            rows, *quotients = field.tables
            ids = field.cap or field.table_size
            scale = math.sqrt(2 / (ids + schema.embedding_dim))  # Xavier normal
            self.weight[start : start + rows].normal_(0, scale)
            # Where nothing is missing in training, nothing trains row 0, and it must not be noise later.
            self.weight[start].zero_()
            for count in quotients:
                # Signs: products start at the scale of one full table, and ids that share a row start apart.
                self.weight[start + rows : start + rows + count].bernoulli_(0.5).mul_(2).sub_(1)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up `(B, S)` ids.

        Returns:
            `(B, E, F)`.
        """
        if self.capped:
            ids = self._within_caps(ids)
        vectors = self._composed(ids) if self.composes else self._rows(ids + self.offsets)  # (B, S, E)
        if not self.pooled:
            return vectors.transpose(1, 2).contiguous()
        tokens = [
            _pooled(vectors[:, start:end], ids[:, start:end], pooling) if pooling else vectors[:, start:end]
            for start, end, pooling in self.runs_of_columns
        ]
        return torch.cat(tokens, dim=1).transpose(1, 2).contiguous()  # of (B, F, E)

    def _within_caps(self, ids: Tensor) -> Tensor:
        """Move ids `(B, S)` beyond their field's table into it."""
        inside = (ids - 1).remainder(self.limits - 1) + 1
        return torch.where(ids < self.limits, ids, torch.where(self.shared, inside, 0))

    def _rows(self, rows: Tensor) -> Tensor:
        return F.embedding(rows, self.weight, sparse=self.sparse_gradients)

    def _composed(self, ids: Tensor) -> Tensor:
        """Look up ids of which C columns have two tables; still one lookup, of S + C rows an example."""
        if ids.dtype != torch.int64:  # what `index_copy` copies; a cast to what is there already would be exported
            ids = ids.long()
        columns = ids.shape[1]
        whole = ids[:, self.composed]  # (B, C)
        quotient = (whole + self.runs - 1) // self.runs  # 0 of id 0, else from 1
        remainder = whole - (quotient - 1).clamp(min=0) * self.runs  # the same
        rows = torch.cat([ids.index_copy(1, self.composed, remainder), quotient], dim=1)
        vectors = self._rows(rows + self.offsets)  # (B, S + C, E)
        found, quotients = vectors[:, :columns], vectors[:, columns:]
        return found.index_copy(1, self.composed, found[:, self.composed] * quotients)


def _runs(schema: FeatureSchema) -> list[tuple[int, int, str]]:
    """Return first and last column of each multi-valued field with its pooling, and of the columns between them."""
    runs: list[tuple[int, int, str]] = []
    start = 0
    for field in schema.fields:
        end = start + field.columns
        if field.columns == 1 and runs and not runs[-1][2]:
            runs[-1] = (runs[-1][0], end, "")
        else:
            runs.append((start, end, field.pooling if field.columns > 1 else ""))
        start = end
    return runs


def _pooled(vectors: Tensor, ids: Tensor, pooling: str) -> Tensor:
    """Pool the vectors `(B, K, E)` of the ids `(B, K)` that are not 0 into one `(B, 1, E)`."""
    present = (ids != 0).to(vectors.dtype).unsqueeze(-1)  # (B, K, 1)
    summed = (vectors * present).sum(dim=1, keepdim=True)
    return summed / present.sum(dim=1, keepdim=True).clamp(min=1) if pooling == "mean" else summed
