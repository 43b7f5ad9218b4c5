"""A search space in Optuna's terms: distributions, and the way from parameters back to architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.space import SearchSpace


def distributions(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """Every label of a space as an Optuna distribution; the choices and their order are the space's.

    Example:
        >>> from nasrec_automl import load_search_space
        >>> distributions(load_search_space("nasrec-full"))["block1/sparse_op"]
        CategoricalDistribution(choices=('efc', 'attention'))
    """
    return {label: CategoricalDistribution(choices) for label, choices in space.labels.items()}


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Let a trial suggest a parameter from a distribution.

    An enqueued value is returned as the study holds it: Optuna takes `"1e-1"` for a number, and 1 for True.

    Raises:
        ValueError: an enqueued value is none of the choices, or out of the range. Optuna itself only warns.
    """
    if isinstance(distribution, CategoricalDistribution):
        chosen = trial.suggest_categorical(name, distribution.choices)
        return distribution.to_external_repr(distribution.to_internal_repr(chosen))
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # There is no other kind.
    value: Any
    if isinstance(distribution, IntDistribution):
        value = trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    else:
        value = trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    value = distribution.to_external_repr(distribution.to_internal_repr(value))
    if not distribution.low <= value <= distribution.high:
        raise ValueError(f"{name} is {value}, but must be from {distribution.low} to {distribution.high}")
    return value


def can_be_written(distributions: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> bool:
    """Whether a trial can be written with these parameters, each of its distribution."""
    try:
        optuna.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: distributions[name] for name in params},
        )
    except ValueError:
        return False
    return True


def architecture_of(params: Mapping[str, Any], space: SearchSpace) -> Architecture | None:
    """The architecture that a trial's parameters describe, or None where they do not describe one.

    Parameters beside the space's labels are left out: a user's own trial may have some.
    """
    try:
        return space.from_params({label: params[label] for label in space.labels})
    except (KeyError, ArchitectureError):
        return None
