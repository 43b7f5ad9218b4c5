"""Rule 1, one function: supernet and extracted subnet agree in logits and gradients, and keys tell functions apart.

For random architectures of a tiny space and of those that ship, with and without LayerNorm, in float32 and in
float64. `slow` draws many more.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.network import Supernet
from nasrec_automl.ops.slices import end_slice_gradients, keep_slice_gradients, only_gradient
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import make_batch, move_vectors, tiny_schema, tiny_space, with_choice
from nasrec_automl.testing.strategies import architectures, neighbours, with_other_dead_parts

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
ROWS = 4

FIELDS = FeatureSchema.from_sizes(dense=13, table_sizes=[5] * 26)
SPACES = {
    "tiny": (tiny_space(), tiny_schema()),
    "small": (load_search_space("nasrec-small"), FIELDS),
    "full": (load_search_space("nasrec-full"), FIELDS),
    "plus": (load_search_space("nasrec-plus"), FIELDS),
}
EXAMPLES = {
    "quick": {"tiny": 25, "small": 5, "full": 4, "plus": 3},
    "deep": {"tiny": 100, "small": 20, "full": 20, "plus": 12},
}
depths = pytest.mark.parametrize("depth", ["quick", pytest.param("deep", marks=pytest.mark.slow)])


@pytest.fixture(
    scope="module",
    params=itertools.product(SPACES, (True, False), TOLERANCE),
    ids=lambda case: f"{case[0]}-{'norm' if case[1] else 'plain'}-{str(case[2])[6:]}",
)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[str, Supernet]]:
    """Name of a space, and its supernet with random weights."""
    name, layer_norm, dtype = request.param
    space, schema = SPACES[name]
    yield name, make(space, schema, layer_norm, dtype)
    gc.collect()  # Hypothesis' functions are cycles, and what they hold would be kept: gigabytes, of all cases


def make(space: SearchSpace, schema: FeatureSchema, layer_norm: bool, dtype: torch.dtype) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(space, schema, layer_norm=layer_norm).to(dtype)
    move_vectors(supernet)
    return supernet


def check(count: int, strategy: st.SearchStrategy[Any], holds: Callable[[Any], None]) -> None:
    """Hold a property for a number of examples."""
    settings(max_examples=count)(given(strategy)(lambda example: holds(example)))()


def logits(network: nn.Module, *choice: Architecture) -> Tensor:
    """Logits of a supernet's architecture, or of a subnet."""
    dense, ids = make_batch(network.schema, ROWS)
    out: Tensor = network(dense.to(network.embedding.weight.dtype), ids, *choice)
    assert torch.isfinite(out).all()
    return out


def gradients(network: nn.Module, *choice: Architecture) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradients that a loss leaves for an optimiser; what gets none is left out."""
    network.zero_grad(set_to_none=True)
    out = logits(network, *choice)
    (out * torch.linspace(-1, 1, ROWS, dtype=out.dtype)).sum().backward()
    found = {name: g for name, p in network.named_parameters() if (g := only_gradient(p)) is not None}
    network.zero_grad(set_to_none=True)
    return out.detach(), {name: g.to_dense() if g.is_sparse else g for name, g in found.items()}


@contextmanager
def slice_gradients(network: nn.Module) -> Iterator[None]:
    """As an optimiser of ours asks for them: gradients of the slices that a path uses."""
    keep_slice_gradients(network.parameters())
    yield
    end_slice_gradients(network.parameters())


def assert_agree(own: Tensor, theirs: Tensor, what: str) -> None:
    """Compare by the largest value: gradients are sums, in which small ones cancel."""
    assert torch.isfinite(theirs).all(), what
    error, scale = (own - theirs).abs().max().item(), max(1.0, theirs.abs().max().item())
    assert error <= TOLERANCE[own.dtype] * scale, f"{what} differs by {error:g} of {scale:g}"


@depths
def test_supernet_and_subnet_are_one_function_with_one_gradient(case: tuple[str, Supernet], depth: str) -> None:
    name, supernet = case

    def holds(architecture: Architecture) -> None:
        for training in (True, False):
            subnet = supernet.train(training).extract(architecture)
            assert subnet.training is training
            expected, theirs = gradients(subnet)
            sizes = {name: p.shape for name, p in subnet.named_parameters()}
            assert theirs.keys() == sizes.keys(), "a subnet holds live parts alone"
            for kept in (False, True):
                with slice_gradients(supernet) if kept else nullcontext():
                    own, mine = gradients(supernet, architecture)
                assert_agree(own, expected, "the logits")
                assert mine.keys() == sizes.keys(), "what is not live gets no gradient"
                for parameter, size in sizes.items():
                    used = tuple(slice(length) for length in size)
                    assert_agree(mine[parameter][used], theirs[parameter], f"the gradient of {parameter}")
                    mine[parameter][used] = 0
                    assert not mine[parameter].any(), f"{parameter} has a gradient outside of the slice that it uses"

    check(EXAMPLES[depth][name], architectures(supernet.space), holds)


@depths
def test_what_is_dead_changes_nothing(case: tuple[str, Supernet], depth: str) -> None:
    """With NaN in every weight outside of the slices that are used, and every dead choice drawn again."""
    name, supernet = case
    space, schema = SPACES[name]
    hollow = make(space, schema, supernet.layer_norm, supernet.embedding.weight.dtype)

    @torch.no_grad()
    def holds(pair: tuple[Architecture, Architecture]) -> None:
        architecture, other = pair
        assert other.key == architecture.key
        before = logits(supernet, architecture)
        assert torch.equal(logits(supernet, other), before)
        holes = dict(hollow.named_parameters())
        for parameter in holes.values():
            parameter.fill_(torch.nan)
        for parameter, weight in supernet.extract(architecture).named_parameters():
            holes[parameter][tuple(slice(length) for length in weight.shape)] = weight
        assert torch.equal(logits(hollow, architecture), before)
        assert torch.equal(logits(hollow, other), before)

    check(EXAMPLES[depth][name], pairs(supernet.space, with_other_dead_parts), holds)


@depths
def test_equal_keys_are_equal_functions_and_other_keys_other_ones(case: tuple[str, Supernet], depth: str) -> None:
    name, supernet = case

    @torch.no_grad()
    def holds(pair: tuple[Architecture, Architecture]) -> None:
        architecture, other = pair
        before, after = logits(supernet, architecture), logits(supernet, other)
        assert_told_apart(before, after, equal=architecture.key == other.key)

    check(3 * EXAMPLES[depth][name], pairs(supernet.space, neighbours), holds)


@torch.no_grad()
def test_keys_tell_every_single_change_of_some_architectures_apart() -> None:
    supernet, rng = make(*SPACES["tiny"], True, torch.float64), np.random.default_rng(0)
    equal = other = 0
    for architecture in [supernet.space.random(rng) for _ in range(30)]:
        before = logits(supernet, architecture)
        for label, choices in supernet.space.labels.items():
            for choice in choices:
                changed = with_choice(architecture, label, choice)
                same = changed.key == architecture.key
                assert_told_apart(before, logits(supernet, changed), equal=same)
                equal += same and changed != architecture
                other += not same
    assert min(equal, other) > 200


def pairs(
    space: SearchSpace, others: Callable[[Architecture], st.SearchStrategy[Architecture]]
) -> st.SearchStrategy[tuple[Architecture, Architecture]]:
    """An architecture and one that is derived from it."""
    return architectures(space).flatmap(lambda architecture: st.tuples(st.just(architecture), others(architecture)))


def assert_told_apart(before: Tensor, after: Tensor, *, equal: bool) -> None:
    if equal:
        assert torch.equal(after, before)
    else:
        assert not torch.allclose(after, before, rtol=1e-6, atol=1e-9)
