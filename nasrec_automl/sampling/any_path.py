"""Any-path: several operators and several connections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nasrec_automl.architecture import Path
from nasrec_automl.sampling.base import PathSampler, draw_some


class AnyPath(PathSampler):
    """Any operators and any inputs a block (arXiv 2207.07187)."""

    def sample(self, rng: np.random.Generator) -> Path:
        """Draw a path."""
        space = self.space
        return Path(
            tuple(
                replace(
                    block,
                    dense_ops=draw_some(space.dense_ops, rng),
                    sparse_ops=draw_some(space.sparse_ops, rng),
                    dense_inputs=draw_some(range(sources), rng),
                    sparse_inputs=draw_some(range(sources), rng),
                    left=draw_some(range(sources), rng),
                    right=draw_some(range(sources), rng),
                )
                for sources, block in enumerate(space.random(rng).path.blocks, 1)
            )
        )
