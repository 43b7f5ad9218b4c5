import numpy as np
import pytest

from nasrec_automl.sampling import PathSampler
from nasrec_automl.sampling.single_path import SinglePath
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.pytest_sampling import PathSamplerContract


class TestSinglePath(PathSamplerContract):
    @pytest.fixture
    def sampler_class(self) -> type[PathSampler]:
        return SinglePath


def test_one_operator_and_one_input_everywhere_and_all_of_them_in_time() -> None:
    sampler, rng = SinglePath(tiny_space()), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        last = sampler.sample(rng).blocks[-1]
        for chosen in (last.dense_ops, last.sparse_ops, last.dense_inputs, last.sparse_inputs, last.left, last.right):
            assert len(chosen) == 1
        seen.add((last.dense_inputs, last.sparse_inputs))
    assert len(seen) == 9
