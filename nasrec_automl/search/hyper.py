"""Hyper-parameters of training from scratch, and their ranges as Optuna sees them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from nasrec_automl.config import FloatRange, RetrainConfig

ARCHITECTURE = "architecture"
"""The parameter that names the candidate."""


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """What one training uses.

    Attributes:
        learning_rate: peak of the schedule.
        weight_decay: decay of weights, and of the embedding rows of each batch.
        dropout: probability, from 0 to below 1.
        batch_size: rows a step.
    """

    learning_rate: float
    weight_decay: float
    dropout: float
    batch_size: int

    @classmethod
    def of(cls, params: Mapping[str, Any], config: RetrainConfig) -> Hyper:
        """Read a trial's parameters; a batch size that is no choice is the configured one."""
        return cls(
            learning_rate=float(params["learning_rate"]),
            weight_decay=float(params["weight_decay"]),
            dropout=float(params["dropout"]),
            batch_size=int(params.get("batch_size", config.batch_size[0])),
        )


def retrain_distributions(candidates: Collection[str], config: RetrainConfig) -> dict[str, BaseDistribution]:
    """The retrain study's parameters. As with labels, a batch size with a single choice does not exist."""
    found: dict[str, BaseDistribution] = {
        ARCHITECTURE: CategoricalDistribution(tuple(candidates)),
        "learning_rate": _distribution(config.learning_rate),
        "weight_decay": _distribution(config.weight_decay),
        "dropout": _distribution(config.dropout),
    }
    if len(config.batch_size) > 1:
        found["batch_size"] = CategoricalDistribution(config.batch_size)
    return found


def default_params(name: str, config: RetrainConfig) -> dict[str, Any]:
    """What a candidate is trained with first: middle rates and batch size, and the least dropout."""
    params: dict[str, Any] = {
        ARCHITECTURE: name,
        "learning_rate": _middle(config.learning_rate),
        "weight_decay": _middle(config.weight_decay),
        "dropout": config.dropout.low,
    }
    if len(config.batch_size) > 1:
        params["batch_size"] = config.batch_size[len(config.batch_size) // 2]
    return params


def _distribution(span: FloatRange) -> FloatDistribution:
    return FloatDistribution(span.low, span.high, log=span.log)


def _middle(span: FloatRange) -> float:
    middle = math.sqrt(span.low * span.high) if span.log else (span.low + span.high) / 2
    return min(max(middle, span.low), span.high)  # Rounding may leave a range of one value.
