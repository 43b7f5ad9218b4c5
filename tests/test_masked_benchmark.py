"""The network that the benchmark compares with is ours where nothing is masked, and masks where something is."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nasrec_automl import FeatureSchema, SearchSpace
from nasrec_automl.network import Supernet
from nasrec_automl.sampling.full_path import full_path
from tests.benchmarks.masked import MaskedSupernet

SCHEMA = FeatureSchema.from_sizes(dense=5, table_sizes=[7, 11, 3])


def space(**sizes: tuple[int, ...]) -> SearchSpace:
    return SearchSpace(
        name="masked",
        blocks=3,
        dense_ops=("fc", "dot_product", "sigmoid_gating", "sum"),
        sparse_ops=("efc", "attention"),
        dense_dims=sizes.get("dense_dims", (32,)),
        sparse_dims=sizes.get("sparse_dims", (16,)),
        max_inputs=3,
    )


def copied(supernet: Supernet) -> MaskedSupernet:
    """The masked network with our supernet's weights."""
    masked = MaskedSupernet(supernet.space, SCHEMA)
    ours = dict(supernet.named_parameters())
    with torch.no_grad():
        for name, parameter in masked.named_parameters():
            pieces = [ours[key] for key in ours if key.startswith(f"{name}s.")]  # `weight` and `weights.<source>`
            if name == "head.weight":
                tokens = [ours[key].flatten() for key in ours if key.startswith("head.tokens.")]
                parameter.copy_(torch.cat([ours["head.dense"], *tokens]).unsqueeze(0))
            elif name == "head.bias":
                parameter.copy_(ours[name])
            else:
                parameter.copy_(torch.cat(pieces, 1) if pieces else ours[name])
    return masked


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 5, generator=generator), torch.randint(3, (9, 3), generator=generator)


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(space(), SCHEMA)


def test_full_path_is_ours(supernet: Supernet) -> None:
    dense, ids = batch()
    path = full_path(supernet.space)
    torch.testing.assert_close(copied(supernet)(dense, ids, path), supernet(dense, ids, path), rtol=0, atol=1e-4)


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
