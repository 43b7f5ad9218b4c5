"""A small step from hyper-parameters that are known to be good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_SCALE = 0.1
"""Standard deviation of a step, as a part of the range."""


def step_from(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], rng: np.random.Generator
) -> dict[str, Any]:
    """Move every parameter a little, on a logarithmic scale where its range has one.

    It is the random step of local searches that start from a good default, such as FLAML's (arXiv 2005.01571). A step
    beyond an end of a range is reflected back into it. A choice is drawn anew with a probability of one over the number
    of parameters.

    The step's standard deviation is a tenth of the range, and for whole numbers at least the distance between
    neighbours.

    Args:
        params: a value for every distribution; a value outside its range counts as the nearest one inside.
        distributions: by name.
        rng: draws the step.
    """
    return {name: _step(params[name], one, rng, 1 / len(distributions)) for name, one in distributions.items()}


def _step(value: Any, distribution: BaseDistribution, rng: np.random.Generator, change: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        drawn = distribution.choices[rng.integers(len(distribution.choices))]
        return drawn if rng.random() < change else value
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.single():
        return distribution.low
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    place = (scale(min(max(value, distribution.low), distribution.high)) - low) / (high - low)
    place = abs(place + max(_SCALE, _coarseness(distribution)) * rng.normal()) % 2
    moved = back(low + (high - low) * min(place, 2 - place))
    moved = min(max(moved, distribution.low), distribution.high)  # exp(log(x)) may miss x
    if isinstance(distribution, IntDistribution):
        return distribution.low + round((moved - distribution.low) / distribution.step) * distribution.step
    return moved


def _coarseness(distribution: FloatDistribution | IntDistribution) -> float:
    if isinstance(distribution, FloatDistribution):
        return 0.0
    return distribution.step / (distribution.high - distribution.low)
