"""Architectures to try next, from any Optuna sampler."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture, ParameterValue
from nasrec_automl.errors import StudyError
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.mirror import Mirror
from nasrec_automl.space import InputCount, SearchSpace

_DRAWS = 500
"""Random architectures that are tried before a small space is listed, or a large one counts as used up."""

_LISTABLE = 200_000
"""Architectures that are listed one by one; a few seconds, once a process."""

_SAMPLES = 20
"""Proposals of a sampler that may be known already before random ones take over."""


@runtime_checkable
class Proposer(Protocol):
    """A sampler that knows how to propose an architecture that is new."""

    def propose(self, study: optuna.Study, *, seen: Collection[str]) -> Architecture | None:
        """An architecture whose key is not among `seen`, or None when there is none."""


def propose(
    sampler: BaseSampler,
    study: optuna.Study,
    space: SearchSpace,
    *,
    seen: Collection[str],
    mirror: Mirror | None = None,
) -> Architecture | None:
    """Ask a sampler for a new architecture, without writing a trial.

    Args:
        sampler: one of this package (`Proposer`), or any of Optuna's.
        study: the study.
        space: the space that its trials are of.
        seen: keys that the architecture must not have.
        mirror: of the study, where Optuna's samplers are asked; its `notes` are then what the sampler wrote for
            this proposal. By default a new one, which reads every trial of the study.

    Returns:
        None when the space has no other key.

    Raises:
        StudyError: the sampler is one for another space, or its parameters are no architecture.
    """
    if isinstance(sampler, Proposer):
        proposal = sampler.propose(study, seen=seen)
        if proposal is not None and proposal.space != space:
            raise StudyError(
                f"the sampler proposes architectures of the space {proposal.space.name!r}, but the study is of "
                f"{space.name!r}: give both the same space"
            )
        return proposal
    mirror = Mirror(study) if mirror is None else mirror
    mirror.update()
    for _ in range(_SAMPLES):
        architecture = space.from_params(mirror.ask(sampler, distributions(space)))
        if architecture.key not in seen:
            return architecture
    return unseen(space, np.random.default_rng([len(seen)]), seen=seen)


def unseen(
    space: SearchSpace, rng: np.random.Generator, *, seen: Collection[str], inputs: InputCount = "uniform"
) -> Architecture | None:
    """A random architecture whose key is not among `seen`; None when none is left, or none was found."""
    for _ in range(_DRAWS):
        architecture = space.random(rng, inputs=inputs)
        if architecture.key not in seen:
            return architecture
    if space.cardinality > _LISTABLE:
        return None
    left = [params for key, params in _listed(space).items() if key not in seen]
    if not left:
        return None
    return space.from_params(dict(zip(space.labels, left[int(rng.integers(len(left)))], strict=True)))


@lru_cache(maxsize=2)
def _listed(space: SearchSpace) -> dict[str, tuple[ParameterValue, ...]]:
    return dict(_every_key(space))


def _every_key(space: SearchSpace) -> Iterator[tuple[str, tuple[ParameterValue, ...]]]:
    for params in itertools.product(*space.labels.values()):
        yield space.from_params(dict(zip(space.labels, params, strict=True))).key, params


def sample_params(sampler: BaseSampler, study: optuna.Study, wanted: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Ask any sampler for parameters, without writing a trial.

    Raises:
        StudyError: the sampler writes to its trial.
    """
    # A trial that the study does not have: enough for samplers that only look at the trials before it.
    trial = optuna.create_trial(state=TrialState.RUNNING)
    # A study keeps the trials that a sampler has read until the next `ask` or `tell`, of which there is none
    # here; a copy has the same storage and begins without.
    study = copy.copy(study)
    try:
        sampler.before_trial(study, trial)
        relative = sampler.infer_relative_search_space(study, trial)
        params = sampler.sample_relative(study, trial, {k: v for k, v in relative.items() if k in wanted})
        for name, distribution in wanted.items():
            # Optuna never asks a sampler for the only value there is.
            if distribution.single():
                params[name] = _only_value(distribution)
            elif name not in params:
                params[name] = sampler.sample_independent(study, trial, name, distribution)
    except KeyError as error:
        raise StudyError(
            f"{sampler} keeps notes in the trial that it samples for, and cannot be asked before there is "
            f"one ({error}); use TPESampler(constant_liar=False), or study.optimize with an objective"
        ) from None
    return {name: params[name] for name in wanted}


def _only_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # There is no other kind.
    return distribution.low
