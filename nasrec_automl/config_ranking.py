"""Sections of a job about how far scores can be trusted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from nasrec_automl.config_types import Count, Fraction, PositiveFloat, Section, Whole
from nasrec_automl.hyper_space import Distribution


class VerdictConfig(Section):
    """The check of a search's scores, before the search.

    Attributes:
        architectures: how many are scored and trained from scratch, one of each size; 0 for no check.
        seeds: how often each is trained.
    """

    architectures: Annotated[Whole, Field(ge=0, le=1000)] = 16
    seeds: Annotated[Whole, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _there_is_an_order(self) -> VerdictConfig:
        if self.architectures in (1, 2):
            raise ValueError(f"architectures must be 0 or at least 3, but is {self.architectures}")
        return self


class RankConfig(Section):
    """How well scores rank architectures, measured by `nasrec-automl rank` alone.

    Attributes:
        architectures: how many are scored and trained from scratch, one of each size.
        seeds: how often each is trained.
    """

    architectures: Annotated[Whole, Field(ge=3, le=1000)] = 50
    seeds: Annotated[Whole, Field(ge=1, le=100)] = 3


class TuneConfig(Section):
    """Tuning of the supernet's training, by `nasrec-automl tune-supernet` alone.

    Attributes:
        trials: how many supernets are trained and judged.
        architectures: how many are trained from scratch, once, for the supernets' scores to be compared with.
        epochs: passes over the training part of each supernet; as in `supernet` by default.
        learning_rate: range of `supernet.learning_rate`.
        path_warm_up: range of `supernet.path_warm_up`.
    """

    trials: Count = 12
    architectures: Annotated[Whole, Field(ge=3, le=1000)] = 20
    epochs: Count | None = None
    learning_rate: Distribution[PositiveFloat] = Distribution[PositiveFloat](low=0.03, high=0.5, log=True)
    path_warm_up: Distribution[Fraction] = Distribution[Fraction](low=0.0, high=0.5)
