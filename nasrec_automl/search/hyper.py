"""Hyper-parameters of training from scratch, in Optuna's terms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nasrec_automl.config_types import Count, NonNegativeFloat, PositiveFloat, Probability, TableSize
from nasrec_automl.hyper_space import Distribution, HyperSpace, OptimizerName

ARCHITECTURE = "architecture"
"""The parameter that names the candidate."""

OPTIMIZER, _RATE = "optimizer", "learning_rate"


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """The hyper-parameters of one training.

    Attributes:
        optimizer: `adagrad`, `adam` or `sgd`.
        learning_rate: peak of the schedule.
        weight_decay: decay of weights, and of embedding rows where `embedding_decay` is None.
        embedding_decay: decay of the embedding rows of each batch.
        dropout: probability, from 0 to below 1.
        batch_size: rows a step.
        embedding_dim: width of every embedding; the job's where it is None.
        table_cap: rows of the largest embedding table, if there is a cap.
        layer_norm: whether operators end in a LayerNorm; the job's where it is None.
    """

    optimizer: OptimizerName
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    embedding_decay: NonNegativeFloat | None
    dropout: Probability
    batch_size: Count
    embedding_dim: Count | None
    table_cap: TableSize | None
    layer_norm: bool | None

    @classmethod
    def of(cls, params: Mapping[str, Any], space: HyperSpace) -> Hyper:
        """Read a trial's parameters; a hyper-parameter that is not among them has the space's only value."""
        found = {name: params.get(name, one.start()) for name, one in _unconditional(space).items()}
        rate = space.learning_rate[found[OPTIMIZER]]
        return cls(learning_rate=params.get(_rate_name(found[OPTIMIZER], space), rate.start()), **found)


def retrain_distributions(candidates: Collection[str], space: HyperSpace) -> dict[str, BaseDistribution]:
    """All parameters of the retrain study. A trial has those of them that `applying` lists.

    As with labels, a hyper-parameter with a single value is no parameter. Where there are several optimisers, each has
    a learning rate of its own, such as `learning_rate/adam`: one range for all would teach TPE the wrong rates.
    """
    rates = {_rate_name(optimizer, space): rate for optimizer, rate in space.learning_rate.items()}
    searched = {name: one for name, one in {**_unconditional(space), **rates}.items() if not one.single}
    return {
        ARCHITECTURE: CategoricalDistribution(tuple(candidates)),
        **{name: optuna_distribution(one) for name, one in searched.items()},
    }


def applying(distributions: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The parameters that apply to a trial, once its optimiser is known: not the learning rates of other optimisers.

    Args:
        distributions: distributions of all parameters.
        params: the trial's parameters, or the first of them.
    """
    other = f"{_RATE}/"
    own = f"{other}{params.get(OPTIMIZER)}"
    return {name: one for name, one in distributions.items() if name == own or not name.startswith(other)}


def default_params(name: str, space: HyperSpace, *, taught: bool) -> dict[str, Any]:
    """Parameters of a candidate's first training: the space's defaults, else first choices and middles of ranges.

    Args:
        name: the candidate's name.
        space: the hyper-parameters.
        taught: whether the training has teachers, whose labels are harder to learn by heart.
    """
    params = {parameter: one.start(taught=taught) for parameter, one in _unconditional(space).items()}
    optimizer = params[OPTIMIZER]
    params |= {ARCHITECTURE: name, _rate_name(optimizer, space): space.learning_rate[optimizer].start(taught=taught)}
    return {parameter: params[parameter] for parameter in applying(retrain_distributions([name], space), params)}


def _unconditional(space: HyperSpace) -> dict[str, Distribution[Any]]:
    """The hyper-parameters that every training has, by name: all but the learning rate."""
    return {name: getattr(space, name) for name in HyperSpace.model_fields if name != _RATE}


def _rate_name(optimizer: str, space: HyperSpace) -> str:
    return _RATE if space.optimizer.single else f"{_RATE}/{optimizer}"


def optuna_distribution(one: Distribution[Any]) -> BaseDistribution:
    """A range or choices as an Optuna distribution."""
    if one.choices:
        return CategoricalDistribution(one.choices)
    low, high = one.limits
    if isinstance(low, int):
        return IntDistribution(low, high, log=one.log, step=one.step or 1)
    return FloatDistribution(low, high, log=one.log)
