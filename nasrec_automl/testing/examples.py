"""Small spaces, schemas and data: big enough to hold every case, small enough to run in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS, Architecture, Path
from nasrec_automl.data.rows import Rows
from nasrec_automl.ops import DenseOp, OpShape, SparseOp
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.space import SearchSpace, join_sources

Op = TypeVar("Op", bound=DenseOp | SparseOp)


def tiny_space(**changes: Any) -> SearchSpace:
    """Three blocks with every operator, and widths of which none divides another.

    Args:
        changes: fields of the space to set otherwise.
    """
    fields: dict[str, Any] = {
        "name": "tiny",
        "blocks": 3,
        "dense_ops": DENSE_OPS,
        "sparse_ops": SPARSE_OPS,
        "dense_dims": (4, 7, 11),
        "sparse_dims": (3, 5),
        "max_inputs": 2,
    }
    return SearchSpace(**{**fields, **changes})


def tiny_schema() -> FeatureSchema:
    """Three dense features and four fields, embeddings of width 8."""
    return FeatureSchema.from_sizes(dense=3, table_sizes=[7, 5, 9, 4], embedding_dim=8)


def pooled_schema() -> FeatureSchema:
    """One single-valued field between two multi-valued ones, pooled by mean and by sum."""
    return FeatureSchema(
        dense=("price",),
        fields=(
            FieldSchema(name="genres", table_size=6, columns=3, pooling="mean"),
            FieldSchema(name="user", table_size=5),
            FieldSchema(name="tags", table_size=7, columns=2, pooling="sum"),
        ),
        embedding_dim=8,
    )


def composed_schema() -> FeatureSchema:
    """Two compositional fields, one of them multi-valued, beside plain ones."""
    return FeatureSchema(
        dense=("price", "age"),
        fields=(
            FieldSchema(name="item", table_size=23, compositional=4),
            FieldSchema(name="user", table_size=5),
            FieldSchema(name="tags", table_size=12, columns=3, compositional=3),
        ),
        embedding_dim=8,
    )


def make_batch(schema: FeatureSchema, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw dense features `(B, D)`, float64, and ids `(B, S)`; id 0 occurs among them."""
    rng = np.random.default_rng(seed)
    sizes = [field.table_size for field in schema.fields for _ in range(field.columns)]
    dense = rng.normal(size=(rows, schema.num_dense)) * bool(schema.dense)
    return torch.from_numpy(dense), torch.from_numpy(rng.integers(sizes, size=(rows, len(sizes))))


def make_rows(schema: FeatureSchema, rows: int, seed: int = 0) -> Rows:
    """Draw rows whose label depends on the first dense feature and the first two fields."""
    dense, ids = (tensor.numpy() for tensor in make_batch(schema, rows, seed))
    logit = 1.5 * dense[:, 0] + np.where((ids[:, 0] + ids[:, 1]) % 2 == 0, 1.5, -1.5)
    label = np.random.default_rng([seed, 1]).random(rows) < 1 / (1 + np.exp(-logit))
    return Rows(dense=dense.astype(np.float32), ids=ids, label=label.astype(np.int8))


def with_weights(rows: Rows, seed: int = 0) -> Rows:
    """The rows with weights of 0 to 3."""
    return replace(rows, weight=np.random.default_rng(seed).integers(4, size=len(rows)))


def repeated(rows: Rows) -> Rows:
    """Rows without weights that mean the same: each as often as its weight says, copies side by side."""
    assert rows.weight is not None
    return replace(rows, weight=None).take(np.repeat(np.arange(len(rows)), rows.weight))


@torch.no_grad()
def move_vectors(module: nn.Module, seed: int = 0) -> None:
    """Move biases and normalisations off their start values, where many an error cannot be seen."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() < 2:
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise.to(parameter.dtype))


@torch.no_grad()
def fill_head(head: nn.Module) -> None:
    """Weights for a head that starts from 0, of which logits say nothing."""
    for parameter in head.parameters():
        parameter.uniform_(-0.5, 0.5)


def small_op(op_class: type[Op], *, layer_norm: bool, **changes: Any) -> Op:
    """Make an operator of two inputs of each kind, float64, off its start values.

    Args:
        op_class: a dense or a sparse operator.
        layer_norm: whether it ends in a LayerNorm.
        changes: fields of its `OpShape` to set otherwise.
    """
    sizes: dict[str, Any] = {
        "dense": {"s0": 3, "s1": 5},
        "tokens": {"s0": 4, "s1": 2},
        "dense_fan_in": 8,
        "tokens_fan_in": 6,
        "left": 5,
        "right": 5,
        "out": 6,
        "embedding_dim": 4,
    }
    op = op_class(OpShape(**{**sizes, **changes}, layer_norm=layer_norm))
    op.double()
    move_vectors(op)
    return op


def draw(*sizes: int, seed: int = 0) -> Tensor:
    """Draw seven rows of normal numbers, `(7, *sizes)` float64."""
    return torch.randn(7, *sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_choice(architecture: Architecture, label: str, value: Any) -> Architecture:
    """The architecture with another value of one label."""
    return architecture.space.from_params({**architecture.params, label: value})


def assert_path_of(path: Path, space: SearchSpace) -> None:
    """Fail unless everything that the path runs is something that the space's supernet holds."""
    space.validate_path(path)
    for block in path.blocks:
        assert block.dense_ops
        assert block.sparse_ops
        for sources in (block.dense_inputs, block.sparse_inputs, block.left, block.right):
            assert sources, "a path reads at least one source"
            assert list(sources) == sorted(set(sources)), f"sources must ascend: {join_sources(sources)}"
