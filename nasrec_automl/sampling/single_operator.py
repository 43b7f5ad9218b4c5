"""Single-operator any-connection: the method's own sampler."""

from __future__ import annotations

import numpy as np

from nasrec_automl.architecture import Path
from nasrec_automl.sampling.base import PathSampler


class SingleOperatorAnyConnection(PathSampler):
    """One dense and one sparse operator a block, any number of inputs (arXiv 2207.07187).

    The number of inputs out of n is 1 + Binomial(min(n - 1, cap - 1), 0.5): every path is an architecture.
    """

    def sample(self, rng: np.random.Generator) -> Path:
        """Draw a path."""
        return self.space.random(rng).path
