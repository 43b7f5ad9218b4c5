"""What all path samplers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from nasrec_automl.architecture import Path
from nasrec_automl.space import SearchSpace, draw_inputs

T = TypeVar("T")


class PathSampler(ABC):
    """Draws the path of one training step. `sample` is called once a step and keeps nothing between calls.

    Args:
        space: the space that paths are drawn from.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Path:
        """Draw a path.

        Args:
            rng: the step's own generator.
        """


def draw_some(items: Sequence[T], rng: np.random.Generator) -> tuple[T, ...]:
    """Draw 1 + Binomial(len - 1, 0.5) of the items, in their order."""
    return tuple(items[i] for i in draw_inputs(len(items), len(items), rng, "binomial"))
