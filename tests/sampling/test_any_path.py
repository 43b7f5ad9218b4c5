import numpy as np
import pytest

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS
from nasrec_automl.sampling import PathSampler
from nasrec_automl.sampling.any_path import AnyPath
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.pytest_sampling import PathSamplerContract


class TestAnyPath(PathSamplerContract):
    @pytest.fixture
    def sampler_class(self) -> type[PathSampler]:
        return AnyPath


def test_any_number_of_operators_and_inputs_beyond_the_cap() -> None:
    sampler, rng = AnyPath(tiny_space()), np.random.default_rng(0)
    blocks = [sampler.sample(rng).blocks[-1] for _ in range(300)]
    # Out of n items 1 + Binomial(n - 1, 0.5): each number occurs, the cap of two inputs notwithstanding.
    assert {len(block.dense_ops) for block in blocks} == set(range(1, 1 + len(DENSE_OPS)))
    assert {len(block.sparse_ops) for block in blocks} == set(range(1, 1 + len(SPARSE_OPS)))
    for key in ("dense_inputs", "sparse_inputs", "left", "right"):
        sizes = [len(getattr(block, key)) for block in blocks]
        assert set(sizes) == {1, 2, 3}
        assert np.mean(sizes) == pytest.approx(2, abs=0.15)
