"""A sample of architectures that represents a whole space."""

from __future__ import annotations

from itertools import pairwise

from nasrec_automl.architecture import Architecture
from nasrec_automl.cost import profile
from nasrec_automl.randomness import rng_for
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace

_DRAWN = 2000


def one_of_each_size(space: SearchSpace, schema: FeatureSchema, count: int, *, seed: int = 0) -> list[Architecture]:
    """Draw architectures at random, sort them by multiply-adds into equal groups, and take one of each group.

    Args:
        space: the space to draw from.
        schema: the features.
        count: how many, at most 2000.
        seed: seed of the draws.

    Returns:
        The architectures, the smallest first.
    """
    rng = rng_for("architectures of all sizes", seed)
    drawn = sorted((space.random(rng) for _ in range(_DRAWN)), key=lambda a: profile(a, schema).macs)
    edges = [i * _DRAWN // count for i in range(count + 1)]
    return [drawn[rng.integers(low, high)] for low, high in pairwise(edges)]
