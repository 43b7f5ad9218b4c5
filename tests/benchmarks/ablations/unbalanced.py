"""Dot-Product as it was before it was balanced: all pairwise products, with no projection of the tokens."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations_with_replacement
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.architecture import DOT_PRODUCT, Architecture
from nasrec_automl.cost import dot_product_tokens
from nasrec_automl.network.plan import subnet_plan
from nasrec_automl.ops import DENSE_OP_CLASSES, BlockInputs, DenseOp, OpShape
from nasrec_automl.ops.dot_product import DotProduct
from nasrec_automl.ops.linear import SourceLinear, closing_norm
from nasrec_automl.ops.slices import used_slice
from nasrec_automl.schema import FeatureSchema

_DENSE = "dense"


class UnbalancedDotProduct(DenseOp):
    """Products of all pairs of the N tokens and the projected dense vector, then Linear to d.

    The weights of the products between the tokens of two inputs are one parameter `(d, n_a, n_b)`, those within one
    input `(d, n_a (n_a - 1) / 2)`, the pairs of fewer tokens first: a pair of tokens has the same weights whatever else
    a path reads.
    """

    def __init__(self, shape: OpShape) -> None:
        super().__init__(shape)
        e, vectors = shape.embedding_dim, shape.tokens_fan_in + 1
        self.embedding_dim = e
        self.project_dense = SourceLinear(shape.dense, e, fan_in=shape.dense_fan_in, bias=True)
        widths = {_DENSE: 1, **shape.tokens}
        self.inputs = [*widths]
        self.weights = nn.ParameterDict()
        bound = math.sqrt(6 / (_pairs(vectors) + shape.out))  # Xavier uniform, of the pairs that a path has together
        for a, b in combinations_with_replacement(self.inputs, 2):
            sizes = (widths[a], widths[b]) if a != b else (_pairs(widths[a]),)
            if all(sizes):
                self.weights[f"{a}:{b}"] = nn.Parameter(torch.empty(shape.out, *sizes).uniform_(-bound, bound))
        self.bias = None if shape.layer_norm else nn.Parameter(torch.zeros(shape.out))
        self.norm = closing_norm(shape.out, shape.layer_norm)

    def forward(self, inputs: BlockInputs, dim: int) -> Tensor:
        """Map dense inputs and tokens to `(B, d)`."""
        dense = self.project_dense(inputs.dense, self.embedding_dim).unsqueeze(-1)  # (B, E, 1)
        read = {_DENSE: dense, **dict(inputs.tokens)}
        # As they were declared: a pair of inputs has its weights in one order.
        names = [name for name in self.inputs if name in read]
        total: Tensor | None = None
        for a, b in combinations_with_replacement(names, 2):
            products = torch.bmm(read[a].transpose(1, 2), read[b])  # (B, n_a, n_b)
            if a == b:
                rows, columns = torch.tril_indices(*products.shape[1:], -1, device=products.device)
                products = products[:, rows, columns]
            if not products[0].numel():
                continue  # one token has no pair
            weight = used_slice(self.weights[f"{a}:{b}"], dim, *products.shape[1:])
            part = F.linear(products.flatten(1), weight.flatten(1))
            total = part if total is None else total + part
        assert total is not None  # the dense vector and a token
        if self.bias is not None:
            total = total + used_slice(self.bias, dim)
        out: Tensor = self.norm(total)
        return out


@contextmanager
def unbalanced() -> Iterator[None]:
    """Networks that are made in the block have the unbalanced operator in Dot-Product's place."""
    with patch.dict(DENSE_OP_CLASSES, {DOT_PRODUCT: UnbalancedDotProduct}):
        yield


@dataclass(frozen=True)
class Cost:
    """What the Dot-Products of an architecture cost, those that its logit depends on.

    Attributes:
        macs: multiply-adds per example, counted as `nasrec_automl.cost` counts.
        parameters: with biases and LayerNorm.
    """

    macs: float
    parameters: float


def mean_cost(architectures: list[Architecture], schema: FeatureSchema, *, layer_norm: bool, balanced: bool) -> Cost:
    """Mean over the architectures; one without a Dot-Product counts as 0."""
    plans = [subnet_plan(one, schema, layer_norm=layer_norm) for one in architectures]
    shapes = [
        block.dense[DOT_PRODUCT] for plan in plans for block in plan.blocks.values() if DOT_PRODUCT in block.dense
    ]
    macs = sum(_macs(shape, balanced=balanced) for shape in shapes)
    operator = DotProduct if balanced else UnbalancedDotProduct
    with torch.device("meta"):
        parameters = sum(weight.numel() for shape in shapes for weight in operator(shape).parameters())
    return Cost(macs / len(architectures), parameters / len(architectures))


def _macs(shape: OpShape, *, balanced: bool) -> int:
    dense, tokens, e = sum(shape.dense.values()), sum(shape.tokens.values()), shape.embedding_dim
    k = dot_product_tokens(shape.out) if balanced else tokens
    return dense * e + balanced * tokens * k * e + (k + 1) ** 2 * e + _pairs(k + 1) * shape.out


def _pairs(vectors: int) -> int:
    return vectors * (vectors - 1) // 2
