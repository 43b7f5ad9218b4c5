"""A budget in Optuna's terms: which trials are inside it, and its constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.search.attributes import KEY, PREFIX
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.space import SearchSpace

Admits = Callable[[FrozenTrial], bool]


def everything(trial: FrozenTrial) -> bool:
    """Admit any trial."""
    return True


class Admission:
    """Says which trials are architectures inside a budget.

    The costs that are written in a trial are read first. They are computed from its parameters only if the written ones
    do not suffice, because a sampler asks about every trial each time.

    Args:
        space: the space that the trials are of.
        budget: what the architectures may cost; None for no limit.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None) -> None:
        self._space = space
        self._budget = budget
        self._unwritten: dict[tuple[object, ...], bool] = {}

    def __call__(self, trial: FrozenTrial) -> bool:
        """Whether a trial is an architecture of the space inside the budget."""
        written = self._from_written(trial.user_attrs)
        if written is False or (written and KEY in trial.user_attrs):
            return written
        identity = (trial.number, trial.datetime_start)
        if identity not in self._unwritten:
            architecture = architecture_of(trial.params, self._space)
            self._unwritten[identity] = architecture is not None and (
                written or self._budget is None or self._budget.admits(architecture)
            )
        return self._unwritten[identity]

    def _from_written(self, attrs: Mapping[str, Any]) -> bool | None:
        """Whether a trial's written costs are inside the budget; None if they do not suffice to tell."""
        if self._budget is None:
            return True
        limits = self._budget.limits
        # A latency may have been written for another batch size or device.
        if self._budget.is_slow or not all(f"{PREFIX}{name}" in attrs for name in limits):
            return None
        return all(attrs[f"{PREFIX}{name}"] <= limit for name, limit in limits.items())


def violations(budget: Budget, architecture: Architecture) -> dict[str, float]:
    """Optuna's constraints of an architecture, for `trial.set_constraint` or `create_trial(constraints=...)`.

    Each constraint is the share by which a cost exceeds its limit; 0 and below is inside. As shares, costs of different
    units can be added, which Optuna's samplers do.
    """
    if not budget.limits:
        return {}
    costs = budget.costs(architecture)
    return {name: costs[name] / limit - 1 for name, limit in budget.limits.items()}


def violations_of(space: SearchSpace, budget: Budget) -> Callable[[FrozenTrial], Mapping[str, float]]:
    """A function that computes the constraints of any trial from its parameters.

    The constraints that are written in a trial may be those of an earlier budget.

    Args:
        space: the space that trials are of; a trial that is no architecture of it violates nothing.
        budget: today's budget.
    """

    def of(trial: FrozenTrial) -> Mapping[str, float]:
        architecture = architecture_of(trial.params, space)
        return {} if architecture is None else violations(budget, architecture)

    return of
