import numpy as np
import pytest

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS
from nasrec_automl.sampling import PathSampler
from nasrec_automl.sampling.full_path import FullPath, full_path
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.pytest_sampling import PathSamplerContract


class TestFullPath(PathSamplerContract):
    @pytest.fixture
    def sampler_class(self) -> type[PathSampler]:
        return FullPath


def test_everything_at_the_largest_widths() -> None:
    path = full_path(tiny_space())
    assert FullPath(tiny_space()).sample(np.random.default_rng(0)) == path
    for number, block in enumerate(path.blocks, 1):
        assert (block.dense_ops, block.sparse_ops) == (DENSE_OPS, SPARSE_OPS)
        assert (block.dense_dim, block.sparse_dim) == (11, 5)
        everything = tuple(range(number))
        assert block.dense_inputs == block.sparse_inputs == block.left == block.right == everything
        assert block.dense_to_sparse
        assert block.fm


def test_a_merger_that_is_always_off_stays_off() -> None:
    block = full_path(tiny_space(dense_to_sparse=(False,))).blocks[-1]
    assert not block.dense_to_sparse
    assert block.fm
