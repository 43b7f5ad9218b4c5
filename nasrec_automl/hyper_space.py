"""Spaces of hyper-parameters: what a training from scratch may be done with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nasrec_automl.config_types import Count, NonNegativeFloat, PositiveFloat, Probability, Section, TableSize
from nasrec_automl.space import read_space

OptimizerName = Literal["adagrad", "adam", "sgd"]

_Flag = Annotated[bool, Field(strict=True)]

T = TypeVar("T")


class Distribution(Section, Generic[T]):
    """What a hyper-parameter may be: a range, or choices.

    A list stands for its choices, and a value for the only one.

    Attributes:
        choices: the values to choose from.
        low: smallest value of a range.
        high: largest value of a range.
        log: whether to draw from the range on a logarithmic scale.
        step: distance of two neighbouring values in a range of whole numbers; `high`, `default` and `taught` must be a
            whole number of steps above `low`.
        default: what trainings begin with; the first choice, or the middle of a range, where it is left out.
        taught: what trainings with teachers begin with; as others where it is left out.
    """

    choices: tuple[T, ...] = ()
    low: T | None = None
    high: T | None = None
    log: bool = False
    step: Count | None = None
    default: T | None = None
    taught: T | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, Distribution):
            return value
        if not isinstance(value, dict):
            value = {"choices": value if isinstance(value, list | tuple) else [value]}
        choices = value.get("choices")
        if isinstance(choices, list | tuple) and None in choices:
            # Null then means that choice, and job.json always writes both.
            value = {"default": choices[0], **value}
            value = {"taught": value["default"], **value}
        return value

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> Distribution[T]:
        low, high = self.limits
        if self.choices:
            if (low, high, self.step) != (None, None, None) or self.log:
                raise ValueError("expected choices, or a range of low and high, but there are both")
            if len(set(self.choices)) != len(self.choices):
                raise ValueError(f"choices must be distinct, but are {list(self.choices)}")
            for name, value in self._starts.items():
                if value is not None and value not in self.choices:
                    raise ValueError(f"{name} ({value}) must be one of the choices {list(self.choices)}")
            return self
        if isinstance(low, bool) or not isinstance(low, int | float) or not isinstance(high, int | float):
            raise ValueError("expected choices, or a range with the numbers low and high")
        if low > high:
            raise ValueError(f"low ({low}) must not exceed high ({high})")
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("low must be above 0 where log is true, and there is no step")
        if self.step is not None and not isinstance(low, int):
            raise ValueError("step is for whole numbers")
        for name, value in self._starts.items():
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} ({value}) must lie within {low} to {high}")
        # Optuna would cut high, and refuse the default at the first training.
        for name, value in {"high": high, **self._starts}.items():
            if self.step is not None and value is not None and (past := (value - low) % self.step):
                raise ValueError(
                    f"{name} ({value}) must be a whole number of steps ({self.step}) above low ({low}), such as "
                    f"{value - past}"
                )
        return self

    @property
    def single(self) -> bool:
        """Whether there is one value alone, so that there is nothing to search."""
        return len(self.choices) == 1 or (not self.choices and self.low == self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value may be drawn."""
        low, high = self.limits
        return value in self.choices if self.choices else bool(low <= value <= high)

    def start(self, *, taught: bool = False) -> T:
        """What trainings begin with: those that have teachers, or others."""
        null_counts = None in self.choices
        value: Any = self.taught if taught and (null_counts or self.taught is not None) else self.default
        if value is None and not null_counts:
            value = self.choices[0] if self.choices else self._middle()
        start: T = value
        return start

    @property
    def limits(self) -> tuple[Any, Any]:
        """Low and high; nothing of choices."""
        return self.low, self.high

    @property
    def _starts(self) -> dict[str, Any]:
        return {"default": self.default, "taught": self.taught}

    def _middle(self) -> Any:
        low, high = self.limits
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        if isinstance(low, int):
            step = self.step or 1
            middle = low + round((middle - low) / step) * step
        return min(max(middle, low), high)  # Rounding may leave a range of one value.


class HyperSpace(Section):
    """The hyper-parameters of trainings from scratch. What is left out has one value, and is not searched.

    Attributes:
        optimizer: `adagrad`, `adam` or `sgd`.
        learning_rate: peak of the schedule; good rates differ by optimiser, so that it may be given for each.
        weight_decay: decay of weights, and of embedding rows where `embedding_decay` is none.
        embedding_decay: decay of the embedding rows of each batch.
        dropout: on the embeddings and on each block's dense output.
        batch_size: rows a step.
        embedding_dim: width of every embedding; the job's where it is none.
        table_cap: rows of the largest embedding table; as many as there are ids where it is none.
        layer_norm: whether operators end in a LayerNorm; as the job's `retrain.layer_norm` says where it is none.
    """

    optimizer: Distribution[OptimizerName] = Distribution[OptimizerName](choices=("adagrad",))
    learning_rate: dict[OptimizerName, Distribution[PositiveFloat]]
    weight_decay: Distribution[NonNegativeFloat] = Distribution[NonNegativeFloat](choices=(0.0,))
    embedding_decay: Distribution[NonNegativeFloat | None] = Distribution[NonNegativeFloat | None](choices=(None,))
    dropout: Distribution[Probability] = Distribution[Probability](choices=(0.0,))
    batch_size: Distribution[Count] = Distribution[Count](choices=(512,))
    embedding_dim: Distribution[Count | None] = Distribution[Count | None](choices=(None,))
    table_cap: Distribution[TableSize | None] = Distribution[TableSize | None](choices=(None,))
    layer_norm: Distribution[_Flag | None] = Distribution[_Flag | None](choices=(None,))

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _one_for_each_optimizer(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, dict) and value.keys() & set(get_args(OptimizerName)):
            return value
        optimizer = info.data.get("optimizer")  # missing where it is wrong, which its own error says
        return dict.fromkeys(("adagrad",) if optimizer is None else optimizer.choices, value)

    @model_validator(mode="after")
    def _rates_are_those_of_the_optimizers(self) -> HyperSpace:
        rates, optimizers = set(self.learning_rate), set(self.optimizer.choices)
        if rates != optimizers:
            raise ValueError(
                f"expected a learning_rate for each optimizer ({', '.join(sorted(optimizers))}), but found "
                f"{', '.join(sorted(rates))}"
            )
        return self


def load_hyper_space(name: str | Path) -> HyperSpace:
    """Load a space by the name it ships under (`retrain-default`), or from a YAML file.

    Raises:
        SpaceError: there is no such space, or the file does not hold one; the message names the field.

    Example:
        >>> load_hyper_space("retrain-default").optimizer.start()
        'adagrad'
    """
    return read_space(HyperSpace, "hpo", name, "hyper-parameter space")
