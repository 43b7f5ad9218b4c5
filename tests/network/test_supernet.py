"""Rule 1, one function: for any architecture, supernet and extracted subnet give the same logits."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from nasrec_automl.architecture import Architecture, Path
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import (
    composed_schema,
    make_batch,
    move_vectors,
    pooled_schema,
    tiny_schema,
    tiny_space,
    with_choice,
)
from nasrec_automl.testing.strategies import architectures, paths

SPACE = tiny_space()
ARCHITECTURES = architectures(SPACE)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@cache
def tiny(layer_norm: bool) -> Supernet:
    """One supernet in float64 for many examples; who changes its weights must make another."""
    return make(SPACE, tiny_schema(), layer_norm, torch.float64)


def make(space: SearchSpace, schema: FeatureSchema, layer_norm: bool, dtype: torch.dtype) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(space, schema, layer_norm=layer_norm).to(dtype)
    move_vectors(supernet)
    return supernet


def logits(supernet: Supernet, choice: Architecture | Path, rows: int = 6, seed: int = 0) -> Tensor:
    dense, ids = make_batch(supernet.schema, rows, seed)
    out: Tensor = supernet(dense.to(supernet.embedding.weight.dtype), ids, choice)
    return out


def assert_one_function(supernet: Supernet, architecture: Architecture, seed: int = 0) -> None:
    dense, ids = make_batch(supernet.schema, 6, seed)
    dense = dense.to(supernet.embedding.weight.dtype)
    tolerance = TOLERANCE[dense.dtype]
    for training in (True, False):
        subnet = supernet.train(training).extract(architecture)
        assert subnet.training is training
        expected = subnet(dense, ids)
        assert expected.shape == (6,)
        assert torch.isfinite(expected).all()
        torch.testing.assert_close(supernet(dense, ids, architecture), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layer_norm", [True, False])
@given(architecture=ARCHITECTURES)
def test_supernet_is_its_subnet(layer_norm: bool, architecture: Architecture) -> None:
    assert_one_function(tiny(layer_norm), architecture)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small"])
def test_supernet_is_its_subnet_in_nasrecs_spaces(name: str, layer_norm: bool, dtype: torch.dtype) -> None:
    space = load_search_space(name)
    supernet = make(space, FeatureSchema.from_sizes(dense=13, table_sizes=[30] * 26), layer_norm, dtype)
    rng = np.random.default_rng(0)
    for seed in range(12):
        assert_one_function(supernet, space.random(rng), seed)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(
    "schema",
    [pooled_schema(), composed_schema(), FeatureSchema.from_sizes(dense=0, table_sizes=[5, 4], embedding_dim=6)],
)
def test_supernet_is_its_subnet_on_other_features(schema: FeatureSchema, layer_norm: bool) -> None:
    supernet = make(SPACE, schema, layer_norm, torch.float64)
    rng = np.random.default_rng(1)
    for _ in range(20):
        assert_one_function(supernet, SPACE.random(rng))


@pytest.mark.parametrize("layer_norm", [True, False])
@given(architecture=ARCHITECTURES)
def test_gradients_are_the_subnets_on_its_slices_and_nowhere_else(layer_norm: bool, architecture: Architecture) -> None:
    supernet = tiny(layer_norm).train()
    supernet.zero_grad(set_to_none=True)
    subnet = supernet.extract(architecture)
    dense, ids = make_batch(supernet.schema, 6)
    weights = torch.linspace(-1, 1, 6, dtype=torch.float64)
    (supernet(dense, ids, architecture) * weights).sum().backward()
    (subnet(dense, ids) * weights).sum().backward()
    wanted = {name: p.grad for name, p in subnet.named_parameters()}
    assert all(gradient is not None for gradient in wanted.values()), "a subnet holds live parts alone"
    for name, parameter in supernet.named_parameters():
        if name not in wanted:
            assert parameter.grad is None, f"{name} is not live, and costs a gradient"
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.is_sparse == (name == "embedding.weight")
        own, theirs = (g.to_dense() if g.is_sparse else g for g in (parameter.grad, wanted[name]))
        expected = torch.zeros_like(own)
        expected[tuple(slice(size) for size in theirs.shape)] = theirs
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")
    supernet.zero_grad(set_to_none=True)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_what_is_not_live_is_not_even_read(layer_norm: bool) -> None:
    """With NaN in every weight outside the live slices, nothing changes."""
    rng = np.random.default_rng(0)
    for _ in range(25):
        architecture = SPACE.random(rng)
        supernet = make(SPACE, tiny_schema(), layer_norm, torch.float64)
        before = logits(supernet, architecture)
        sizes = {name: p.shape for name, p in supernet.extract(architecture).named_parameters()}
        with torch.no_grad():
            for name, parameter in supernet.named_parameters():
                inside = tuple(slice(size) for size in sizes[name]) if name in sizes else None
                kept = None if inside is None else parameter[inside].clone()
                parameter.fill_(torch.nan)
                if kept is not None:
                    parameter[inside] = kept
        torch.testing.assert_close(logits(supernet, architecture), before, rtol=0, atol=0)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_equal_keys_are_equal_functions_and_other_keys_other_ones(layer_norm: bool) -> None:
    """Every single change of some architectures."""
    supernet, rng = tiny(layer_norm), np.random.default_rng(0)
    equal = other = 0
    for _ in range(20):
        architecture = SPACE.random(rng)
        before = logits(supernet, architecture)
        for label, choices in SPACE.labels.items():
            for choice in choices:
                changed = with_choice(architecture, label, choice)
                after = logits(supernet, changed)
                if changed.key == architecture.key:
                    assert torch.equal(after, before), (label, choice)
                    equal += changed != architecture
                else:
                    assert not torch.allclose(after, before, rtol=1e-6, atol=1e-9), (label, choice)
                    other += 1
    assert min(equal, other) > 200


@pytest.mark.parametrize("layer_norm", [True, False])
@given(architecture=ARCHITECTURES, data=st.data())
def test_changing_dead_choices_changes_nothing(
    layer_norm: bool, architecture: Architecture, data: st.DataObject
) -> None:
    dead = [
        f"block{number}/{key}"
        for number, live in enumerate(architecture.live, 1)
        for key in ("dense_op", "dense_dim", "dense_inputs", "left", "right")
        if not live.dense
    ] + [
        f"block{number}/{key}"
        for number, live in enumerate(architecture.live, 1)
        for key in ("sparse_op", "sparse_dim")
        if not live.sparse
    ]
    dead = [label for label in dead if label in SPACE.labels]
    assume(dead)
    other = architecture
    for label in dead:
        # A dead dense operator reads nothing, whatever it is.
        other = with_choice(other, label, data.draw(st.sampled_from(SPACE.labels[label])))
    assert other.key == architecture.key
    assert other.effective == architecture.effective
    assert torch.equal(logits(tiny(layer_norm), other), logits(tiny(layer_norm), architecture))


@pytest.mark.parametrize("layer_norm", [True, False])
@given(path=paths(SPACE))
def test_any_path_runs(layer_norm: bool, path: Path) -> None:
    out = logits(tiny(layer_norm), path)
    assert out.shape == (6,)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small"])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_full_path_runs_and_trains_every_weight(name: str, layer_norm: bool) -> None:
    space = load_search_space(name)
    supernet = Supernet(space, FeatureSchema.from_sizes(dense=3, table_sizes=[5] * 4), layer_norm=layer_norm)
    if not layer_norm:
        # Every operator and seven blocks of squares (Dot-Product, FM) without a norm between overflow float32.
        supernet = supernet.double()
    out = logits(supernet, full_path(space), rows=3)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert [n for n, p in supernet.named_parameters() if p.grad is None] == []


@given(architecture=ARCHITECTURES)
def test_an_architecture_and_its_path_are_one(architecture: Architecture) -> None:
    assert torch.equal(logits(tiny(True), architecture), logits(tiny(True), architecture.path))


@pytest.mark.parametrize("layer_norm", [True, False])
@given(architecture=ARCHITECTURES)
def test_features_and_head_weight_give_the_logits(layer_norm: bool, architecture: Architecture) -> None:
    supernet = tiny(layer_norm)
    dense, ids = make_batch(supernet.schema, 6)
    features, weight = supernet.features(dense, ids, architecture), supernet.head_weight(architecture)
    assert features.shape == (6, len(weight))
    torch.testing.assert_close(features @ weight + supernet.head.bias, supernet(dense, ids, architecture))


def test_a_subnet_is_a_copy() -> None:
    supernet = make(SPACE, tiny_schema(), True, torch.float64)
    architecture = SPACE.random(np.random.default_rng(0))
    subnet, before = supernet.extract(architecture), logits(supernet, architecture)
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.fill_(3)
    assert torch.equal(logits(supernet, architecture), before)


def test_dropout_of_the_subnet_is_asked_for() -> None:
    supernet = Supernet(SPACE, tiny_schema(), dropout=0.5)
    architecture = SPACE.random(np.random.default_rng(0))
    assert {m.p for m in supernet.extract(architecture).modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    kept = supernet.extract(architecture, dropout=0.3)
    assert {m.p for m in kept.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert {m.p for m in supernet.modules() if isinstance(m, torch.nn.Dropout)} == {0.5}


def test_dropout_acts_in_training_alone() -> None:
    supernet = Supernet(SPACE, tiny_schema(), dropout=0.5)
    architecture = SPACE.random(np.random.default_rng(0))
    supernet.eval()
    assert torch.equal(logits(supernet, architecture), logits(supernet, architecture))
    supernet.train()
    assert not torch.equal(logits(supernet, architecture), logits(supernet, architecture))


def test_an_architecture_of_another_space_is_not_extracted() -> None:
    other = tiny_space(dense_dims=(4, 13))
    architecture = with_choice(other.random(np.random.default_rng(0)), "block2/dense_dim", 13)
    with pytest.raises(ArchitectureError, match=r"'block[12]/dense_dim' is 13"):
        tiny(True).extract(architecture)


def test_subnets_are_plain_torch() -> None:
    subnet = tiny(True).extract(SPACE.random(np.random.default_rng(0)))
    assert type(subnet) is Subnet
    assert all(
        type(m).__module__.startswith(("torch", "nasrec_automl.network", "nasrec_automl.ops")) for m in subnet.modules()
    )


def test_an_architecture_of_another_space_is_refused() -> None:
    supernet = Supernet(tiny_space(), tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    wider = tiny_space(name="wider", dense_dims=(4, 7, 110))
    stranger = wider.random(np.random.default_rng(0))
    for use in (supernet, supernet.features):
        with pytest.raises(ArchitectureError, match="'wider', but the supernet's is 'tiny'"):
            use(dense, ids, stranger)
    with pytest.raises(ArchitectureError, match="'wider'"):
        supernet.head_weight(stranger)
