"""Mutations: how many a child has, and how they are drawn in studies without a search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from nasrec_automl.randomness import rng_for


def mutations(generation: int, generations: int) -> int:
    """How many mutations a child has: (G - g) // max(20, G // 5) + 1 (arXiv 2207.07187).

    Example:
        >>> [mutations(g, 240) for g in (0, 1, 120, 239, 500)]
        [6, 5, 3, 1, 1]
    """
    return max(0, generations - generation) // max(20, generations // 5) + 1


def generations_of(trials: int, population_size: int, children: int) -> int:
    """G, the number of generations that these trials make after the initial population; at least 1."""
    return max(1, (trials - population_size) // children)


def uniform(rng: np.random.Generator) -> RandomSampler:
    """An Optuna sampler that draws uniformly from any distribution, with a seed drawn from `rng`."""
    return RandomSampler(seed=int(rng.integers(2**32)))


def draw(seed: int, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
    """Draw one parameter of a trial uniformly. Only the seed, the trial's number and the name determine the draw."""
    rng = rng_for(f"parameter {name}", seed, trial.number)
    return uniform(rng).sample_independent(study, trial, name, distribution)


def mutate_params(
    study: optuna.Study,
    trial: FrozenTrial,
    search_space: Mapping[str, BaseDistribution],
    *,
    parent: Mapping[str, Any],
    times: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Draw parameters of a parent again, uniformly from their distributions.

    Args:
        study: the study.
        trial: the trial to sample for.
        search_space: the trial's parameters.
        parent: parameters to start from; those that it lacks are drawn.
        times: how many parameters are picked, each out of all of them, to be drawn again.
        rng: source of randomness.
    """
    names = sorted(search_space)
    picked = set(rng.choice(names, times).tolist()) if names else set()
    sampler = uniform(rng)
    return {
        name: parent[name]
        if name in parent and name not in picked
        else sampler.sample_independent(study, trial, name, search_space[name])
        for name in names
    }
