"""Full-path: the whole supernet."""

from __future__ import annotations

import numpy as np

from nasrec_automl.architecture import Path, PathBlock
from nasrec_automl.sampling.base import PathSampler
from nasrec_automl.space import SearchSpace


class FullPath(PathSampler):
    """Every operator, every input, every merger, at the largest widths (arXiv 2207.07187)."""

    def sample(self, rng: np.random.Generator) -> Path:
        """Return the space's only full path; `rng` is not used."""
        return full_path(self.space)


def full_path(space: SearchSpace) -> Path:
    """The path that runs the whole supernet of a space."""
    return Path(
        tuple(
            PathBlock(
                dense_ops=space.dense_ops,
                sparse_ops=space.sparse_ops,
                dense_dim=max(space.dense_dims),
                sparse_dim=max(space.sparse_dims),
                dense_inputs=tuple(range(sources)),
                sparse_inputs=tuple(range(sources)),
                left=tuple(range(sources)),
                right=tuple(range(sources)),
                dense_to_sparse=max(space.dense_to_sparse),
                fm=max(space.fm),
            )
            for sources in range(1, space.blocks + 1)
        )
    )
