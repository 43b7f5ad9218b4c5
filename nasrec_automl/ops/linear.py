"""Elastic Linear and LayerNorm: leading slices of one weight serve every width."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.ops.base import Pieces, cast
from nasrec_automl.ops.slices import used_slice


def _xavier_uniform(weight: Tensor, fan_in: int, fan_out: int) -> None:
    bound = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -bound, bound)


class ElasticLinear(nn.Module):
    """A Linear whose leading rows and columns are the smaller Linears."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        _xavier_uniform(self.weight, in_features, out_features)

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        """Map `(..., w)` to `(..., out_features)`."""
        bias = None if self.bias is None else used_slice(self.bias, out_features)
        return F.linear(x, used_slice(self.weight, out_features, x.shape[-1]), bias)


class SourceLinear(nn.Module):
    """A Linear over the concatenation of named inputs, its weight stored per input.

    The sum over inputs of x_s W_s equals the Linear over their concatenation; a path without an input leaves its
    weight alone, and an input's width may vary without moving the others' columns.

    Args:
        widths: widest form of each input by name.
        out_features: widest output.
        fan_in: width of the inputs that a path has together; the weights start as one matrix of that width.
        bias: whether there is one.
    """

    def __init__(self, widths: Mapping[str, int], out_features: int, *, fan_in: int, bias: bool) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(out_features, width)) for name, width in widths.items()}
        )
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        for weight in self.weights.values():
            _xavier_uniform(weight, fan_in, out_features)

    def forward(self, inputs: Pieces, out_features: int) -> Tensor:
        """Map inputs of `(..., w_s)` each to `(..., out_features)`."""
        if not inputs:
            raise ValueError("a Linear over sources needs at least one input")
        bias = None if self.bias is None else used_slice(self.bias, out_features)
        name, first = inputs[0]
        weight = used_slice(self.weights[name], out_features, first.shape[-1])
        total = F.linear(first.flatten(0, -2), weight, bias)
        for name, x in inputs[1:]:
            weight = used_slice(self.weights[name], out_features, x.shape[-1])
            # In place: a product that adds to what is there costs no pass over memory of its own. Autocast does not
            # cast `addmm_`, so the operands are cast here.
            total.addmm_(cast(x.flatten(0, -2), total.dtype), cast(weight, total.dtype).T)
        return total.view(*first.shape[:-1], out_features)


class ElasticLayerNorm(nn.Module):
    """LayerNorm over the active slice alone (statistics of that slice, leading weights).

    Args:
        width: widest input.
        scale: start value of the weight.
    """

    def __init__(self, width: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), scale))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of `(..., w)`."""
        width = x.shape[-1]
        return F.layer_norm(x, (width,), used_slice(self.weight, width), used_slice(self.bias, width))


def closing_norm(width: int, layer_norm: bool) -> nn.Module:
    """The LayerNorm after an operator's last Linear, or nothing."""
    return ElasticLayerNorm(width) if layer_norm else nn.Identity()
