"""The contract of path samplers: paths of the space, and no randomness but what is passed in."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from nasrec_automl.network import Supernet
from nasrec_automl.sampling import PathSampler
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import assert_path_of, make_batch, tiny_schema, tiny_space

SPACES = [
    tiny_space(),
    tiny_space(name="one-block", blocks=1),
    tiny_space(name="one-input", max_inputs=1),
    tiny_space(name="no-mergers", dense_to_sparse=(False,), fm=(False,)),
    tiny_space(name="always-merged", dense_to_sparse=(True,), fm=(True,)),
    tiny_space(name="one-operator", dense_ops=("dot_product",), sparse_ops=("attention",), dense_dims=(7,)),
]

MakeSampler = Callable[[SearchSpace], PathSampler]


class PathSamplerContract:
    """Inherit, and give the fixture `sampler_class`, what makes a sampler of a space."""

    @pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
    def test_paths_are_of_the_space(self, sampler_class: MakeSampler, space: SearchSpace) -> None:
        """Any space, however small."""
        for seed in range(50):
            assert_path_of(sampler_class(space).sample(np.random.default_rng(seed)), space)

    @pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small", "nasrec-plus", "quickstart"])
    def test_paths_of_the_spaces_that_ship(self, sampler_class: MakeSampler, name: str) -> None:
        """Of seven blocks, with many operators and few."""
        space, rng = load_search_space(name), np.random.default_rng(0)
        for _ in range(20):
            assert_path_of(sampler_class(space).sample(rng), space)

    def test_equal_generators_give_equal_paths(self, sampler_class: MakeSampler) -> None:
        """A sampler keeps nothing between calls, and other samplers of it are the same."""
        space = tiny_space()
        first, second = sampler_class(space), sampler_class(space)
        for _ in range(5):
            first.sample(np.random.default_rng(7))
        for seed in range(20):
            a, b = (sampler.sample(np.random.default_rng(seed)) for sampler in (first, second))
            assert a == b

    def test_global_generators_are_left_alone(self, sampler_class: MakeSampler) -> None:
        """Neither read nor moved."""
        sampler = sampler_class(tiny_space())
        seen = []
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the global generator is what is watched
            torch.manual_seed(seed)
            before = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
            seen.append([sampler.sample(np.random.default_rng(s)) for s in range(5)])
            after = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
            assert before == after
        assert seen[0] == seen[1]

    def test_the_supernet_runs_the_paths(self, sampler_class: MakeSampler) -> None:
        """Finite logits, one a row."""
        space, schema = tiny_space(), tiny_schema()
        supernet, (dense, ids) = Supernet(space, schema).double(), make_batch(schema, 5)
        rng = np.random.default_rng(0)
        for _ in range(20):
            logits = supernet(dense, ids, sampler_class(space).sample(rng))
            assert logits.shape == (5,)
            assert torch.isfinite(logits).all()
