from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
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


@cache
def tiny(layer_norm: bool) -> Supernet:
    """One supernet in float64 for many examples; who changes its weights must make another."""
    return make(SPACE, tiny_schema(), layer_norm)


def make(space: SearchSpace, schema: FeatureSchema, layer_norm: bool) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(space, schema, layer_norm=layer_norm).double()
    move_vectors(supernet)
    return supernet


def logits(supernet: Supernet, choice: Architecture | Path, rows: int = 6) -> Tensor:
    dense, ids = make_batch(supernet.schema, rows)
    out: Tensor = supernet(dense.to(supernet.embedding.weight.dtype), ids, choice)
    return out


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(
    "schema",
    [pooled_schema(), composed_schema(), FeatureSchema.from_sizes(dense=0, table_sizes=[5, 4], embedding_dim=6)],
)
def test_supernet_is_its_subnet_on_other_features(schema: FeatureSchema, layer_norm: bool) -> None:
    supernet, rng = make(SPACE, schema, layer_norm), np.random.default_rng(1)
    dense, ids = make_batch(schema, 6)
    for _ in range(20):
        architecture = SPACE.random(rng)
        expected = supernet.extract(architecture)(dense, ids)
        assert torch.isfinite(expected).all()
        torch.testing.assert_close(logits(supernet, architecture), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layer_norm", [True, False])
@given(path=paths(SPACE))
def test_any_path_runs(layer_norm: bool, path: Path) -> None:
    out = logits(tiny(layer_norm), path)
    assert out.shape == (6,)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small", "nasrec-plus", "quickstart"])
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
    supernet = make(SPACE, tiny_schema(), True)
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


@pytest.mark.parametrize("where", ["embeddings", "blocks"])
def test_dropout_acts_on_the_embeddings_and_on_blocks(where: str) -> None:
    supernet = Supernet(SPACE, tiny_schema(), dropout=0.5)
    others = [block.dropout for block in supernet.blocks.values()] if where == "embeddings" else [supernet.dropout]
    for other in others:
        other.p = 0.0
    architecture = SPACE.random(np.random.default_rng(0))
    assert not torch.equal(logits(supernet, architecture), logits(supernet, architecture))


def test_an_architecture_of_another_space_is_not_extracted() -> None:
    other = tiny_space(dense_dims=(4, 13))
    architecture = with_choice(other.random(np.random.default_rng(0)), "block2/dense_dim", 13)
    with pytest.raises(ArchitectureError, match=r"'block[12]/dense_dim' is 13"):
        tiny(True).extract(architecture)


def test_to_extract_moves_no_generator() -> None:
    supernet = tiny(True)
    state = torch.random.get_rng_state()
    subnet = supernet.extract(SPACE.random(np.random.default_rng(0)))
    assert torch.random.get_rng_state().equal(state)
    assert subnet.embedding.weight.equal(supernet.embedding.weight)
    assert subnet.embedding.weight.data_ptr() != supernet.embedding.weight.data_ptr()


def test_subnets_are_plain_torch() -> None:
    subnet = tiny(True).extract(SPACE.random(np.random.default_rng(0)))
    assert type(subnet) is Subnet
    assert all(
        type(m).__module__.startswith(("torch", "nasrec_automl.network", "nasrec_automl.ops")) for m in subnet.modules()
    )


def test_an_architecture_of_another_space_is_one_of_this_or_refused() -> None:
    supernet = Supernet(tiny_space(), tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    wider = tiny_space(name="wider", dense_dims=(*SPACE.dense_dims, 110))
    known = wider.from_params(SPACE.random(np.random.default_rng(0)).params)
    stranger = with_choice(known, "block3/dense_dim", 110)
    for use in (supernet, supernet.features):
        with pytest.raises(ArchitectureError, match=r"'block3/dense_dim' is 110, .* the space 'tiny'"):
            use(dense.float(), ids, stranger)
    for part in (supernet.head_weight, supernet.extract):
        with pytest.raises(ArchitectureError, match="'block3/dense_dim' is 110"):
            part(stranger)
    subnet = supernet.extract(known)
    assert subnet.architecture.space is supernet.space
    torch.testing.assert_close(subnet(dense.float(), ids), supernet(dense.float(), ids, known))
    assert len(supernet.head_weight(known)) == supernet.features(dense.float(), ids, known).shape[1]


def test_a_path_of_another_space_is_refused() -> None:
    supernet, path = Supernet(SPACE, tiny_schema()), full_path(tiny_space(dense_dims=(4, 110)))
    dense, ids = make_batch(tiny_schema(), 3)
    for use in (supernet, supernet.features):
        with pytest.raises(ArchitectureError, match="block1 of the path is none of the space 'tiny'"):
            use(dense.float(), ids, path)
