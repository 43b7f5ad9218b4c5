"""Embedding tables: one matrix for all fields, so that a batch is one lookup."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.schema import FeatureSchema


class Embedding(nn.Module):
    """The tables of all fields, stacked.

    Gradients are sparse: they hold the rows of the batch and no others. The tokens of a multi-valued field are pooled
    over the ids that are not 0; one without any gives zeros.
    """

    offsets: Tensor
    segments: Tensor
    mean: Tensor
    many: Tensor

    def __init__(self, schema: FeatureSchema) -> None:
        super().__init__()
        sizes = schema.table_sizes
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        columns = torch.tensor([field.columns for field in schema.fields])
        segments = torch.repeat_interleave(torch.arange(schema.num_fields), columns)
        self.fields = schema.num_fields
        self.pooled = schema.num_columns > schema.num_fields
        self.weight = nn.Parameter(torch.empty(sum(sizes), schema.embedding_dim))
        self.register_buffer("offsets", starts[segments], persistent=False)
        self.register_buffer("segments", segments, persistent=False)
        mean = torch.tensor([f.columns > 1 and f.pooling == "mean" for f in schema.fields])
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("many", (columns > 1)[segments], persistent=False)
        with torch.no_grad():
            for start, size in zip(starts.tolist(), sizes, strict=True):
                scale = math.sqrt(2 / (size + schema.embedding_dim))  # Xavier normal
                self.weight[start : start + size].normal_(0, scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up `(B, S)` ids.

        Returns:
            `(B, E, F)`.
        """
        vectors = F.embedding(ids + self.offsets, self.weight, sparse=True)  # (B, S, E)
        if not self.pooled:
            return vectors.transpose(1, 2).contiguous()
        present = (ids != 0) | ~self.many  # (B, S); the id 0 of a single-valued field is a token like any other
        rows, _, e = vectors.shape
        index = self.segments.expand(rows, -1)
        summed = vectors.new_zeros(rows, self.fields, e).scatter_add(
            1, index.unsqueeze(-1).expand(-1, -1, e), vectors * present.unsqueeze(-1)
        )
        count = vectors.new_zeros(rows, self.fields).scatter_add(1, index, present.to(vectors.dtype))
        divisor = torch.where(self.mean, count.clamp(min=1), 1.0)  # (B, F)
        return (summed / divisor.unsqueeze(-1)).transpose(1, 2).contiguous()
