"""Sections of a job about training: the supernet's, and that from scratch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from nasrec_automl.config_types import (
    Count,
    Duration,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    Probability,
    Section,
    Whole,
    path_from,
)
from nasrec_automl.hyper_space import HyperSpace, load_hyper_space

MOST_HANDED_ON = 256
"""Architectures that the search notes for the retrain stage, at most; `retrain.top_k` takes the first of them."""

_SUPERNET_STEPS = 2_000
"""Steps of a supernet's training where the job says no epochs; a path's weights are trained in a small part."""

_MOST_EPOCHS, _MOST_EXAMPLES, _FEWEST_VALIDATIONS = 20, 6_000_000, 10
"""Bounds of a training from scratch where the job says none. The learning rate falls over all of it, so that a schedule
of 20 epochs of a large data set, which is learned in one or two, would never come to its end."""


def _default_epochs(rows: int) -> int:
    return min(_MOST_EPOCHS, math.ceil(_MOST_EXAMPLES / max(1, rows)))


class SupernetConfig(Section):
    """Training of the supernet (arXiv 2207.07187).

    Attributes:
        sampling: how a step's path is drawn.
        epochs: passes over the training part; by default as many whole ones as 2,000 steps take.
        batch_size: rows a step.
        learning_rate: peak of the schedule.
        schedule_warm_up: fraction of the steps over which the learning rate rises.
        path_warm_up: fraction of the steps over which the whole supernet is trained with falling probability.
        clip_norm: bound of the gradients' norm, dense and sparse together. The published one, 5, lets steps pass that
            Adagrad does not forget.
        eps: of Adagrad. The published setting is 1e-2; it slows rare embedding rows down, and small data cannot wait.
        weight_decay: decay of weights, and of the embedding rows of each batch.
        dropout: dropout on the embeddings and on each block's dense output.
        teacher_share: what share of each label is the probability that the teachers give together, where there are any
            (`retrain.teachers`); 0 for labels alone.
        layer_norm: whether operators end in a LayerNorm.
        validations: how often validation is measured and reported, and a checkpoint written.
        patience: validations without improvement that end a training of several epochs, whose best weights are kept;
            0 for never.
    """

    sampling: Literal["single-operator", "single-path", "any-path", "full-path"] = "single-operator"
    epochs: Count | None = None
    batch_size: Count = 512
    learning_rate: PositiveFloat = 0.12
    schedule_warm_up: Fraction = 0.1
    path_warm_up: Fraction = 0.2
    clip_norm: PositiveFloat = 0.2
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    dropout: Probability = 0.0
    teacher_share: Fraction = 0.8
    layer_norm: bool = True
    validations: Count = 10
    patience: Annotated[Whole, Field(ge=0)] = 3

    def passes(self, rows: int) -> int:
        """Passes over a training part of so many rows."""
        return self.epochs or math.ceil(_SUPERNET_STEPS * min(self.batch_size, rows) / max(1, rows))


def _named(space: Any, info: ValidationInfo) -> Any:
    """Load a hyper-parameter space that is given by its name, or as a path relative to the job file."""
    if not isinstance(space, str):
        return space
    folder = (info.context or {}).get("folder", Path())
    return load_hyper_space(path_from(folder, space) if space.endswith((".yaml", ".yml")) else space)


class RetrainConfig(Section):
    """Training from scratch of the best architectures and the hand designs (arXiv 2207.07187).

    Attributes:
        top_k: how many of the architectures that the search hands on take part.
        trials: how many trainings the study has.
        timeout: once the trainings of the study have taken so long together, no other one begins.
        max_epochs: longest training; the best validation ends it early. By default 20, of more than 300,000 rows as
            many as 6 million examples take, one at least.
        patience: validations without improvement that end a training; 0 for never.
        validations_per_epoch: how often the hpo part is measured; by default twice, and where the default of
            `max_epochs` is small so often that such a training has ten validations.
        layer_norm: whether operators end in a LayerNorm, where `space` does not say.
        average_weights: whether a running average of the weights is what is measured and kept.
        clip_norm: bound of the gradients' norm.
        eps: of Adagrad, as in `supernet`.
        space: the hyper-parameters: a space's name, the path of its YAML file, or the space itself.
        pruner: `hyperband` ends trainings that fall behind early (arXiv 1603.06560); `none` ends none.
        teachers: how many networks trainings learn from beside labels, at most (arXiv 1503.02531): of so many of the
            best that labels alone have taught, hand designs and architectures of the check of the scores, those that
            are best together on the hpo part. 0 for labels alone.
        teacher_share: what share of each label is then the probability that the teachers give together.
        final_seeds: how often the winner is trained at the end, each time with another seed; the best on the hpo part
            is kept.
    """

    top_k: Annotated[Whole, Field(ge=1, le=MOST_HANDED_ON)] = 15
    trials: Count = 60
    timeout: Duration | None = None
    max_epochs: Count | None = None
    patience: Annotated[Whole, Field(ge=0)] = 4
    validations_per_epoch: Count | None = None
    layer_norm: bool = True
    average_weights: bool = True
    clip_norm: PositiveFloat = 0.2
    eps: PositiveFloat = 1e-8
    space: Annotated[HyperSpace, BeforeValidator(_named)] = Field(
        default_factory=lambda: load_hyper_space("retrain-default")
    )
    pruner: Literal["hyperband", "none"] = "hyperband"
    teachers: Annotated[Whole, Field(ge=0)] = 5
    teacher_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    final_seeds: Count = 3

    def epochs(self, rows: int) -> int:
        """Epochs of the longest training on so many rows."""
        return self.max_epochs or _default_epochs(rows)

    def validations(self, rows: int) -> int:
        """Validations in an epoch of so many rows."""
        return self.validations_per_epoch or max(2, math.ceil(_FEWEST_VALIDATIONS / _default_epochs(rows)))

    @property
    def may_layer_norm(self) -> bool:
        """Whether a training may have LayerNorm, which costs more than none."""
        return any(self.layer_norm if one is None else one for one in self.space.layer_norm.choices)
