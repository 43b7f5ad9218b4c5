"""The network that the benchmark compares with is ours where nothing is masked, and masks where something is."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nasrec_automl import FeatureSchema, SearchSpace
from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS
from nasrec_automl.network import Supernet
from nasrec_automl.sampling.full_path import full_path
from tests.benchmarks.masked import MaskedSupernet

SCHEMA = FeatureSchema.from_sizes(dense=5, table_sizes=[7, 11, 3])


def space(**changes: Any) -> SearchSpace:
    return SearchSpace(
        name="masked",
        blocks=3,
        dense_ops=DENSE_OPS,
        sparse_ops=SPARSE_OPS,
        max_inputs=3,
        **{"dense_dims": (32,), "sparse_dims": (16,), **changes},
    )


def copied(supernet: Supernet) -> MaskedSupernet:
    """The masked network with our supernet's weights."""
    masked = MaskedSupernet(supernet.space, supernet.schema, layer_norm=supernet.layer_norm)
    masked.copy_weights(supernet)
    return masked


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 5, generator=generator), torch.randint(3, (9, 3), generator=generator)


@pytest.fixture(params=["as published", "without LayerNorm", "without mergers"])
def supernet(request: pytest.FixtureRequest) -> Supernet:
    torch.manual_seed(0)
    bare = {"dense_to_sparse": (False,), "fm": (False,)} if request.param == "without mergers" else {}
    return Supernet(space(**bare), SCHEMA, layer_norm=request.param != "without LayerNorm")


def test_full_path_is_ours(supernet: Supernet) -> None:
    dense, ids = batch()
    path = full_path(supernet.space)
    torch.testing.assert_close(copied(supernet)(dense, ids, path), supernet(dense, ids, path), rtol=3e-5, atol=1e-4)


def test_architectures_of_full_width_are_ours(supernet: Supernet) -> None:
    """Inputs that are not chosen, operators and mergers: zeros and absence are one."""
    dense, ids = batch()
    masked, rng = copied(supernet), np.random.default_rng(0)
    for architecture in (supernet.space.random(rng) for _ in range(20)):
        logits = masked(dense, ids, architecture.path)
        torch.testing.assert_close(logits, supernet(dense, ids, architecture), rtol=0, atol=1e-4)


def test_what_is_masked_is_not_read() -> None:
    """Weights behind a mask change nothing, and have no gradient."""
    torch.manual_seed(0)
    small = space(dense_dims=(8, 32), sparse_dims=(4, 16))
    masked = MaskedSupernet(small, SCHEMA)
    dense, ids = batch()
    narrow = SearchSpace(**{**small.model_dump(), "dense_dims": (8,), "sparse_dims": (4,)})
    path = narrow.random(np.random.default_rng(0)).path
    before = masked(dense, ids, path)
    before.sum().backward()
    gradient = masked.head.weight.grad
    assert gradient is not None
    assert gradient[0, 8:32].count_nonzero() == 0
    assert gradient[0, :8].count_nonzero() > 0
    with torch.no_grad():
        masked.head.weight[0, 8:32] += 1.0
    torch.testing.assert_close(masked(dense, ids, path), before)


@pytest.mark.parametrize("merges", [(False, True), (False,)])
def test_features_and_the_heads_weights_give_its_logits(merges: tuple[bool, ...]) -> None:
    """What a mask clears is left out of both."""
    torch.manual_seed(0)
    masked = MaskedSupernet(space(dense_dims=(8, 32), sparse_dims=(4, 16), dense_to_sparse=merges), SCHEMA)
    dense, ids = batch()
    rng, widths = np.random.default_rng(0), set()
    for architecture in (masked.space.random(rng) for _ in range(20)):
        features, weight = masked.features(dense, ids, architecture), masked.head_weight(architecture)
        torch.testing.assert_close(masked.head.bias + features @ weight, masked(dense, ids, architecture))
        last = architecture.blocks[-1]
        assert len(weight) == last.dense_dim + 16 * (last.sparse_dim + 8 * last.dense_to_sparse)
        widths.add(len(weight))
    assert len(widths) > 3


def test_dropout_is_where_ours_is() -> None:
    """On the embeddings and on each block's dense output, and in training alone."""
    dense, ids = batch()
    masked = MaskedSupernet(space(), SCHEMA, dropout=0.5)
    places = [name for name, module in masked.named_modules() if isinstance(module, torch.nn.Dropout)]
    ours = [name for name, module in Supernet(space(), SCHEMA, dropout=0.5).named_modules()]
    assert sorted(places) == sorted(name for name in ours if name.endswith("dropout"))
    path = full_path(masked.space)
    assert not torch.equal(masked(dense, ids, path), masked(dense, ids, path))
    masked.eval()
    assert torch.equal(masked(dense, ids, path), masked(dense, ids, path))
