"""The contract of operators: elastic, so that a leading slice of the weights is the smaller operator."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasrec_automl.ops import BlockInputs, DenseOp, OpShape, SparseOp
from nasrec_automl.ops.base import Pieces, add_padded
from nasrec_automl.testing.examples import move_vectors

ROWS, WIDEST, E = 6, 12, 8
DENSE = {"s0": 5, "s1": WIDEST, "s2": WIDEST}
TOKENS = {"s0": 4, "s1": 6, "s1_merged": 8, "s2": 6}


def _largest(layer_norm: bool) -> OpShape:
    return OpShape(
        dense=DENSE,
        tokens=TOKENS,
        dense_fan_in=sum(DENSE.values()),
        tokens_fan_in=sum(TOKENS.values()),
        left=WIDEST,
        right=WIDEST,
        out=WIDEST,
        embedding_dim=E,
        layer_norm=layer_norm,
    )


def _subset(widths: Mapping[str, int], rng: np.random.Generator) -> dict[str, int]:
    """Some of the inputs, each at some width."""
    names = sorted(rng.choice(sorted(widths), 1 + int(rng.integers(len(widths))), replace=False).tolist())
    return {name: 1 + int(rng.integers(widths[name])) for name in names}


def _smaller(rng: np.random.Generator, layer_norm: bool) -> OpShape:
    dense, tokens = _subset(DENSE, rng), _subset(TOKENS, rng)
    return replace(
        _largest(layer_norm),
        dense=dense,
        tokens=tokens,
        dense_fan_in=sum(dense.values()),
        tokens_fan_in=sum(tokens.values()),
        left=1 + int(rng.integers(WIDEST)),
        right=1 + int(rng.integers(WIDEST)),
        out=2 + int(rng.integers(WIDEST - 1)),
    )


def _inputs(shape: OpShape, seed: int) -> BlockInputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(*sizes: int) -> Tensor:
        return torch.randn(ROWS, *sizes, generator=generator, dtype=torch.float64)

    return BlockInputs(
        dense=[(name, draw(width)) for name, width in shape.dense.items()],
        tokens=[(name, draw(E, count)) for name, count in shape.tokens.items()],
        left=[draw(shape.left)],
        right=[draw(shape.right)],
    )


def _slices(large: nn.Module, small: nn.Module) -> dict[str, tuple[slice, ...]]:
    names = dict(large.named_parameters())
    slices = {}
    for name, parameter in small.named_parameters():
        assert name in names, f"the smaller operator has a parameter {name!r} that the larger has not"
        slices[name] = tuple(slice(size) for size in parameter.shape)
    return slices


@torch.no_grad()
def _copy(large: nn.Module, small: nn.Module) -> None:
    weights = dict(large.named_parameters())
    slices = _slices(large, small)
    for name, parameter in small.named_parameters():
        parameter.copy_(weights[name][slices[name]])


@pytest.mark.parametrize("layer_norm", [True, False])
class _OpContract(ABC):
    @abstractmethod
    def run(self, op: Any, inputs: BlockInputs, dim: int) -> Tensor:
        """Run the operator on the inputs that it reads."""

    @abstractmethod
    def output_shape(self, dim: int) -> tuple[int, ...]:
        """The shape that the operator must give."""

    def make(self, op_class: Any, shape: OpShape) -> Any:
        """An operator in float64, its biases and normalisations moved off their start values."""
        op = op_class(shape).double()
        move_vectors(op)
        return op

    @pytest.mark.parametrize("dim", [1, 2, 5, WIDEST])
    def test_output_has_the_width_that_is_asked_for(self, op_class: Any, layer_norm: bool, dim: int) -> None:
        """Every width up to the largest."""
        shape = _largest(layer_norm)
        out = self.run(self.make(op_class, shape), _inputs(shape, 0), dim)
        assert out.shape == self.output_shape(dim)
        assert torch.isfinite(out).all()

    @pytest.mark.parametrize("seed", range(8))
    def test_leading_slice_is_the_smaller_operator(self, op_class: Any, layer_norm: bool, seed: int) -> None:
        """The same function and the same gradients; what lies outside the slice is neither read nor trained."""
        shape = _smaller(np.random.default_rng(seed), layer_norm)
        large, small = self.make(op_class, _largest(layer_norm)), self.make(op_class, shape)
        _copy(large, small)
        inputs = _inputs(shape, seed)
        expected, out = (self.run(op, inputs, shape.out) for op in (small, large))
        torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)

        signs = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        for result in (out, expected):
            torch.autograd.backward((result * signs).sum())
        slices = _slices(large, small)
        wanted = {name: parameter.grad for name, parameter in small.named_parameters()}
        for name, parameter in large.named_parameters():
            if parameter.grad is None:
                assert wanted.get(name) is None, f"{name} has no gradient"
                continue
            inside = torch.zeros_like(parameter.grad)
            if name in slices and wanted[name] is not None:
                inside[slices[name]] = wanted[name]
            torch.testing.assert_close(parameter.grad, inside, rtol=1e-9, atol=1e-9)

        with torch.no_grad():
            for name, parameter in large.named_parameters():
                kept = parameter[slices[name]].clone() if name in slices else None
                parameter.fill_(float("nan"))
                if kept is not None:
                    parameter[slices[name]] = kept
        torch.testing.assert_close(self.run(large, inputs, shape.out), out, rtol=0, atol=0)

    def test_any_subset_of_sources_runs(self, op_class: Any, layer_norm: bool) -> None:
        """Inputs that a path lacks are no inputs: no zeros stand in for them."""
        shape = _largest(layer_norm)
        op, inputs = self.make(op_class, shape), _inputs(shape, 0)
        for dense, tokens in zip(_subsets(inputs.dense), itertools.cycle(_subsets(inputs.tokens)), strict=False):
            out = self.run(op, replace(inputs, dense=dense, tokens=tokens), WIDEST)
            assert torch.isfinite(out).all()
        for tokens in _subsets(inputs.tokens):
            out = self.run(op, replace(inputs, tokens=tokens), WIDEST)
            assert torch.isfinite(out).all()

    def test_rows_are_independent(self, op_class: Any, layer_norm: bool) -> None:
        """A row's output does not depend on the other rows of its batch."""
        shape = _largest(layer_norm)
        op, inputs = self.make(op_class, shape), _inputs(shape, 0)
        first = BlockInputs(
            dense=[(name, x[:1]) for name, x in inputs.dense],
            tokens=[(name, x[:1]) for name, x in inputs.tokens],
            left=[x[:1] for x in inputs.left],
            right=[x[:1] for x in inputs.right],
        )
        torch.testing.assert_close(self.run(op, first, WIDEST), self.run(op, inputs, WIDEST)[:1])


class DenseOpContract(_OpContract):
    """Inherit, and give the fixture `op_class`, a `DenseOp`."""

    def run(self, op: DenseOp, inputs: BlockInputs, dim: int) -> Tensor:
        """Run the operator."""
        out: Tensor = op(inputs, dim)
        return out

    def output_shape(self, dim: int) -> tuple[int, ...]:
        """`(B, d)`."""
        return ROWS, dim

    def test_several_sides_are_added(self, op_class: type[DenseOp], layer_norm: bool) -> None:
        """A path with several left or right inputs reads their sum, the narrower padded with zeros."""
        shape = _largest(layer_norm)
        op, inputs = self.make(op_class, shape), _inputs(shape, 0)
        left = [inputs.left[0], inputs.left[0][:, :3] * 2, inputs.left[0][:, :7] - 1]
        right = [inputs.right[0][:, :4], inputs.right[0][:, :9] + 1]
        several = self.run(op, replace(inputs, left=left, right=right), WIDEST)
        added = self.run(op, replace(inputs, left=[add_padded(left)], right=[add_padded(right)]), WIDEST)
        torch.testing.assert_close(several, added)


class SparseOpContract(_OpContract):
    """Inherit, and give the fixture `op_class`, a `SparseOp`."""

    def run(self, op: SparseOp, inputs: BlockInputs, dim: int) -> Tensor:
        """Run the operator."""
        out: Tensor = op(inputs.tokens, dim)
        return out

    def output_shape(self, dim: int) -> tuple[int, ...]:
        """`(B, E, n)`."""
        return ROWS, E, dim


def _subsets(pieces: Pieces) -> Sequence[Pieces]:
    return [chosen for size in range(1, len(pieces) + 1) for chosen in itertools.combinations(pieces, size)]
