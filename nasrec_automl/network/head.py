"""The head: one Linear over the last block's dense output and its flattened sparse output."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.network.block import Source
from nasrec_automl.ops.slices import used_slice


class Head(nn.Module):
    """Elastic final Linear: a leading slice of its weights reads a smaller last block."""

    def __init__(self, dense_dim: int, tokens: Mapping[str, int], embedding_dim: int) -> None:
        super().__init__()
        fan_in = dense_dim + embedding_dim * sum(tokens.values())
        bound = math.sqrt(6 / (fan_in + 1))  # Xavier uniform of the whole Linear
        self.dense = nn.Parameter(torch.empty(dense_dim).uniform_(-bound, bound))
        self.tokens = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(embedding_dim, count).uniform_(-bound, bound))
                for name, count in tokens.items()
            }
        )
        self.embedding_dim = embedding_dim
        self.bias = nn.Parameter(torch.zeros(()))

    @staticmethod
    def features(last: Source) -> Tensor:
        """Concatenate what the head reads.

        Returns:
            `(B, d + E N)`.
        """
        assert last.dense is not None  # both outputs of the last block are always live
        return torch.cat([last.dense, *(tokens.flatten(1) for _, tokens in last.tokens)], dim=1)

    def weight(self, dense_dim: int, tokens: Mapping[str, int]) -> Tensor:
        """The weights that belong to `features` of these sizes, `(d + E N,)`."""
        parts = [used_slice(self.tokens[name], self.embedding_dim, count).flatten() for name, count in tokens.items()]
        return torch.cat([used_slice(self.dense, dense_dim), *parts])

    def forward(self, last: Source) -> Tensor:
        """Map the last block's output to logits, `(B,)`."""
        assert last.dense is not None
        weight = self.weight(last.dense.shape[1], {name: tokens.shape[-1] for name, tokens in last.tokens})
        features = self.features(last)
        if torch.is_autocast_enabled(features.device.type):
            # A logit in bfloat16 has three digits: rows would tie that are not equal.
            with torch.autocast(features.device.type, enabled=False):
                return self._linear(features.to(weight), weight)
        return self._linear(features, weight)

    def _linear(self, features: Tensor, weight: Tensor) -> Tensor:
        # Not `addmv`: it gives a scalar for a batch without rows.
        return F.linear(features, weight.unsqueeze(0), self.bias.unsqueeze(0)).squeeze(1)


def clear_head(head: nn.Module) -> None:
    """Set all weights to 0, for a training to start from.

    The first logits of random weights are noise, other noise on each path, which a supernet would first unlearn.
    """
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
