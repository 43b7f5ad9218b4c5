"""Architectures to try next, from any Optuna sampler."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from nasrec_automl.architecture import Architecture, ParameterValue
from nasrec_automl.budget import LATENCY, Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.search.admission import violations_of
from nasrec_automl.search.descent import descend, nothing_inside
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.mirror import Mirror
from nasrec_automl.space import InputCount, SearchSpace

_DRAWS = 500
"""Random architectures that are tried before a small space is listed, or a large one counts as used up."""

_LISTABLE = 200_000
"""Architectures that are listed one by one; a few seconds, once a process."""

_SAMPLES = 20
"""Proposals of a sampler that may be known already before random ones take over."""

_REJECTED, _REJECTED_SLOWLY = 500, 50
"""Architectures that may be over the budget before another way is taken; fewer where each takes long, as its latency is
measured or one of Optuna's own samplers proposes it."""


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
    budget: Budget | None = None,
    mirror: Mirror | None = None,
) -> Architecture | None:
    """Ask a sampler for a new architecture, without writing a trial.

    Args:
        sampler: one of this package (`Proposer`), or any of Optuna's.
        study: the study.
        space: the space that its trials are of.
        seen: keys that the architecture must not have.
        budget: what it may cost. A `Proposer` keeps to it by itself.
        mirror: the study's mirror, in which Optuna's samplers are asked; afterwards its `notes` are the sampler's for
            this proposal. By default a new mirror, which reads every trial of the study.

    Returns:
        The architecture; None when the space has no other key, or none inside the budget.

    Raises:
        StudyError: the sampler is one for another space or budget, or its parameters are no architecture.
        BudgetError: no architecture inside the budget was found.
    """
    if isinstance(sampler, Proposer):
        proposal = sampler.propose(study, seen=seen)
        if proposal is not None and proposal.space != space:
            raise StudyError(
                f"the sampler proposes architectures of the space {proposal.space.name!r}, but the study is of "
                f"{space.name!r}: give both the same space"
            )
        if proposal is not None and budget is not None and not budget.admits(proposal):
            raise StudyError(
                f"the sampler proposes architectures over the budget ({budget}): give both the same budget"
            )
        return proposal
    if mirror is None:
        mirror = Mirror(study, None if budget is None else violations_of(space, budget))
    mirror.update()
    wanted = distributions(space)
    drawn = (space.from_params(mirror.ask(sampler, wanted)) for _ in itertools.count())
    found = first_new(drawn, seen=seen, budget=budget, known=_SAMPLES, rejected=_REJECTED_SLOWLY)
    if found is not None:
        return found
    # From the sampler's own next draw: with another seed it falls back to other architectures.
    rng = np.random.default_rng(int(next(drawn).key, 16))
    return unseen(space, rng, seen=seen, budget=budget)


def first_new(
    drawn: Iterable[Architecture],
    *,
    seen: Collection[str],
    budget: Budget | None,
    known: int,
    rejected: int = _REJECTED,
) -> Architecture | None:
    """The first architecture that is new and inside the budget; None if too many others come before it.

    Args:
        drawn: architectures, drawn one after another.
        seen: keys that it must not have.
        budget: what it may cost.
        known: number of architectures among `seen` after which to give up.
        rejected: number of architectures over the budget after which to give up; lowered if the budget limits latency,
            which must be measured.
    """
    if budget is not None and LATENCY in budget.limits:
        rejected = min(rejected, _REJECTED_SLOWLY)
    for architecture in drawn:
        if architecture.key in seen:
            known -= 1
        elif budget is None or budget.admits(architecture):
            return architecture
        else:
            rejected -= 1
        if known <= 0 or rejected <= 0:
            return None
    return None


def unseen(
    space: SearchSpace,
    rng: np.random.Generator,
    *,
    seen: Collection[str],
    budget: Budget | None = None,
    inputs: InputCount = "uniform",
) -> Architecture | None:
    """A random architecture whose key is not among `seen`, inside the budget; None when none is left or found.

    Raises:
        BudgetError: no architecture inside the budget was found, seen or not.
    """
    drawn = (space.random(rng, inputs=inputs) for _ in itertools.count())
    found = first_new(drawn, seen=seen, budget=budget, known=_DRAWS)
    if found is not None:
        return found
    if space.cardinality <= _LISTABLE:
        return _listed_unseen(space, rng, seen, budget)
    return None if budget is None else descend(space, rng, seen=seen, budget=budget)


def _listed_unseen(
    space: SearchSpace, rng: np.random.Generator, seen: Collection[str], budget: Budget | None
) -> Architecture | None:
    def of(params: tuple[ParameterValue, ...]) -> Architecture:
        return space.from_params(dict(zip(space.labels, params, strict=True)))

    listed = _listed(space)
    left = [params for key, params in listed.items() if key not in seen]
    patience = len(left)
    if budget is not None and budget.is_slow:
        patience = _REJECTED_SLOWLY if LATENCY in budget.limits else _REJECTED
    while left and patience:
        patience -= 1
        architecture = of(left.pop(int(rng.integers(len(left)))))
        if budget is None or budget.admits(architecture):
            return architecture
    if budget is None:
        return None
    if left:
        return descend(space, rng, seen=seen, budget=budget)
    if any(budget.admits(of(params)) for key, params in listed.items() if key in seen):
        return None
    raise nothing_inside(space, budget, min(map(of, listed.values()), key=budget.fullness))


@lru_cache(maxsize=2)
def _listed(space: SearchSpace) -> dict[str, tuple[ParameterValue, ...]]:
    return dict(_every_key(space))


def _every_key(space: SearchSpace) -> Iterator[tuple[str, tuple[ParameterValue, ...]]]:
    for params in itertools.product(*space.labels.values()):
        yield space.from_params(dict(zip(space.labels, params, strict=True))).key, params
