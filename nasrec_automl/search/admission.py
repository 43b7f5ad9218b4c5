"""A budget as Optuna sees it: which trials are inside, and its constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.search.attributes import KEY, PREFIX
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.space import SearchSpace

Admits = Callable[[FrozenTrial], bool]


def everything(trial: FrozenTrial) -> bool:
    """Admit any trial."""
    return True


class Admission:
    """Says which trials are architectures inside a budget.

    A trial's written costs are read first, and its parameters only where these do not tell: a sampler asks about every
    trial each time.

    Args:
        space: the space that the trials are of.
        budget: what they may cost; None where that does not count.
    """

    def __init__(self, space: SearchSpace, budget: Budget | None) -> None:
        self._space = space
        self._budget = budget
        self._unwritten: dict[tuple[object, ...], bool] = {}

    def __call__(self, trial: FrozenTrial) -> bool:
        """Whether a trial is inside; one that is no architecture of the space is not."""
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
        """Whether written costs are inside; None where they do not say so."""
        if self._budget is None:
            return True
        limits = self._budget.limits
        # A latency may have been written for another batch size or device.
        if self._budget.is_slow or not all(f"{PREFIX}{name}" in attrs for name in limits):
            return None
        return all(attrs[f"{PREFIX}{name}"] <= limit for name, limit in limits.items())


def violations(budget: Budget, architecture: Architecture) -> dict[str, float]:
    """Optuna's constraints of an architecture, for `trial.set_constraint` or `create_trial(constraints=...)`.

    Each is the share by which a cost exceeds its limit, so that those of different units can be added, as Optuna's
    samplers do; 0 and below is inside.
    """
    return _shares(budget.limits, budget.costs(architecture)) if budget.limits else {}


def violations_of(space: SearchSpace, budget: Budget) -> Callable[[FrozenTrial], Mapping[str, float]]:
    """Optuna's constraints of any trial, from its parameters: those written in it may be of an earlier budget.

    Args:
        space: the space that trials are of; a trial that is no architecture of it violates nothing.
        budget: today's budget.
    """

    def of(trial: FrozenTrial) -> Mapping[str, float]:
        architecture = architecture_of(trial.params, space)
        return {} if architecture is None else violations(budget, architecture)

    return of


def constraints(budget: Budget) -> Callable[[FrozenTrial], tuple[float, ...]]:
    """The `constraints_func` of Optuna's samplers, from what trials say of their cost (`nasrec:macs` and so on).

    Args:
        budget: its limits are the constraints, in their order.

    Returns:
        A function that raises StudyError for a trial whose cost is not written in it.
    """

    def of(trial: FrozenTrial) -> tuple[float, ...]:
        missing = [name for name in budget.limits if f"{PREFIX}{name}" not in trial.user_attrs]
        if missing:
            raise StudyError(
                f"trial {trial.number} does not say its {missing[0]}: set the user attribute {PREFIX}{missing[0]} in "
                "the objective, from the budget's `costs`"
            )
        costs = {name: float(trial.user_attrs[f"{PREFIX}{name}"]) for name in budget.limits}
        return tuple(_shares(budget.limits, costs).values())

    return of


def _shares(limits: Mapping[str, float], costs: Mapping[str, float]) -> dict[str, float]:
    return {name: costs[name] / limit - 1 for name, limit in limits.items()}
