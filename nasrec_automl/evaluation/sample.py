"""Architectures that stand for a whole space."""

from __future__ import annotations

from itertools import pairwise

from nasrec_automl.architecture import Architecture
from nasrec_automl.cost import profile
from nasrec_automl.randomness import rng_for
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace

_DRAWN = 2000


def one_of_each_size(space: SearchSpace, schema: FeatureSchema, count: int, *, seed: int = 0) -> list[Architecture]:
    """Random architectures, sorted by multiply-adds and cut into equal groups: one of each group, the smallest first.

    Args:
        space: to draw from.
        schema: of the data.
        count: how many, at most 2000.
        seed: of the draws.
    """
    rng = rng_for("architectures of all sizes", seed)
    drawn = sorted((space.random(rng) for _ in range(_DRAWN)), key=lambda a: profile(a, schema).macs)
    edges = [i * _DRAWN // count for i in range(count + 1)]
    return [drawn[rng.integers(low, high)] for low, high in pairwise(edges)]
