import numpy as np
import pytest

from nasrec_automl.sampling import PathSampler
from nasrec_automl.sampling.single_operator import SingleOperatorAnyConnection
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.pytest_sampling import PathSamplerContract


class TestSingleOperatorAnyConnection(PathSamplerContract):
    @pytest.fixture
    def sampler_class(self) -> type[PathSampler]:
        return SingleOperatorAnyConnection


def test_every_path_is_an_architecture() -> None:
    space = tiny_space()
    sampler = SingleOperatorAnyConnection(space)
    for seed in range(50):
        path = sampler.sample(np.random.default_rng(seed))
        assert path == space.random(np.random.default_rng(seed)).path
