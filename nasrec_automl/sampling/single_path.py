"""Single-path: one operator and one connection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nasrec_automl.architecture import Path
from nasrec_automl.sampling.base import PathSampler


class SinglePath(PathSampler):
    """One operator of each kind and one input of each kind a block (arXiv 2207.07187)."""

    def sample(self, rng: np.random.Generator) -> Path:
        """Draw a path."""
        blocks = self.space.random(rng).path.blocks
        return Path(
            tuple(
                replace(
                    block,
                    dense_inputs=(int(rng.integers(sources)),),
                    sparse_inputs=(int(rng.integers(sources)),),
                )
                for sources, block in enumerate(blocks, 1)
            )
        )
