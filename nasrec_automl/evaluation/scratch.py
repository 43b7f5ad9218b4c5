"""Training an architecture from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DivergedError, JobError
from nasrec_automl.network import Subnet
from nasrec_automl.network.head import clear_head
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.training.averaging import AverageWeights
from nasrec_automl.training.keep_best import Checkpoints, KeepBest, OnValidation
from nasrec_automl.training.lightning import (
    DEVICES,
    drop_unreadable,
    quiet,
    quiet_trainer,
    raising_interrupts,
    release_optimizers,
    resume_options,
)
from nasrec_automl.training.metrics import Metrics, measure, targets
from nasrec_automl.training.module import ClickModule, TrainingOptions
from nasrec_automl.training.precision import LIGHTNING, Precision
from nasrec_automl.training.seed import seeded

_EVALUATION_BATCH = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchOptions(TrainingOptions):
    """How to train an architecture from scratch, in `steps` steps at most.

    The seed determines start values and batches too.

    Attributes:
        batch_size: rows a step.
        dropout: on the embeddings and on each block's dense output of the subnet that `train_from_scratch` makes.
        layer_norm: whether the operators of that subnet end in a LayerNorm.
        validate_every: steps from one measurement to the next; a shorter training is measured at its end. Steps after
            the last measurement are not measured.
        patience: measurements without improvement that end the training; 0 for never.
        average_weights: whether a running average of the weights is measured and kept in their place.
        device: `cpu` or `cuda`.
        precision: precision of products, in training and in its validations.

    Raises:
        JobError: a number is out of its range, or a name is unknown.
    """

    batch_size: int
    validate_every: int
    dropout: float = 0.0
    layer_norm: bool = True
    patience: int = 0
    average_weights: bool = False
    device: str = "cpu"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)  # `super()` of a dataclass with slots would be the class without them
        for number, least in (("batch_size", 1), ("validate_every", 1), ("patience", 0)):
            value = getattr(self, number)
            if not value >= least:  # nor NaN
                raise JobError(f"{number} must be at least {least}, but it is {value}")
        if not 0 <= self.dropout < 1:
            raise JobError(f"dropout must be at least 0 and below 1, but it is {self.dropout}")
        for name, known in (("device", DEVICES), ("precision", LIGHTNING)):
            value = getattr(self, name)
            if value not in known:
                raise JobError(f"{name} must be one of {', '.join(known)}, but it is {value!r}")


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went.

    Attributes:
        metrics: metrics of the best validation.
        step: the step of the best validation.
        stopped: whether `on_validation` ended the training.
    """

    metrics: Metrics
    step: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Trained(Course):
    """A trained subnet.

    Attributes:
        subnet: the subnet with the weights of the best validation.
    """

    subnet: Subnet


def train_from_scratch(
    architecture: Architecture,
    schema: FeatureSchema,
    rows: Rows,
    validation: Rows,
    options: ScratchOptions,
    *,
    on_validation: OnValidation | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train the subnet of an architecture.

    The same arguments give the same weights.

    Args:
        architecture: what to train.
        schema: the features.
        rows: rows to train on.
        validation: rows to measure on; the best measurement's weights are kept.
        options: how.
        on_validation: called after each measurement; True ends the training.
        checkpoint: file to write after each measurement, and to go on from where it is there: `on_validation` hears
            again what was measured before, then the training ends as if it had not been broken. At the end the file
            stays: the caller deletes it once the result is written, and a caller that is killed before that goes on
            from it. A training that diverges deletes it.

    Raises:
        CheckpointError: the checkpoint cannot be read now, and may be whole.
        DivergedError: a loss that is no finite number; the message says where, and what to do.
        JobError: the device is not there.
    """
    with seeded(options.seed):
        subnet = Subnet(architecture, schema, layer_norm=options.layer_norm, dropout=options.dropout)
    clear_head(subnet.head)
    course = train_network(subnet, rows, validation, options, on_validation=on_validation, checkpoint=checkpoint)
    return Trained(course.metrics, course.step, course.stopped, subnet)


def train_network(
    network: nn.Module,
    rows: Rows,
    validation: Rows,
    options: ScratchOptions,
    *,
    on_validation: OnValidation | None = None,
    checkpoint: Path | None = None,
) -> Course:
    """Train any `network(dense, ids) -> logits`, in place: it ends with the best weights, on the CPU, not training.

    Arguments are those of `train_from_scratch`; `dropout` and `layer_norm` are not read, since the network exists
    already.
    """
    module, steps = ClickModule(options, network), options.steps
    batches = TrainingBatches(rows, options.batch_size, options.seed, steps)
    keeper = KeepBest(options.patience, on_validation)
    callbacks: list[pl.Callback] = [keeper]
    if options.average_weights:
        callbacks.append(AverageWeights(steps, options.validate_every))
    if checkpoint is not None:
        callbacks.append(Checkpoints(checkpoint))
    trainer = quiet_trainer(
        max_steps=steps,
        device=options.device,
        precision=options.precision,
        callbacks=callbacks,
        val_check_interval=min(options.validate_every, steps),
    )
    if checkpoint is not None:
        drop_unreadable(checkpoint)
    network.train()  # Lightning leaves it as it is, and one that was measured drops nothing out
    try:
        with quiet(), raising_interrupts():
            trainer.fit(module, batches, EvaluationBatches(validation, _EVALUATION_BATCH), **resume_options(checkpoint))
        keeper.restore()
    except DivergedError:
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        raise
    finally:
        _release(trainer, module, callbacks)
    network.cpu().eval()
    assert keeper.best is not None
    return Course(keeper.best, keeper.best_step, keeper.stopped)


def _release(trainer: pl.Trainer, module: ClickModule, callbacks: Sequence[pl.Callback]) -> None:
    """Release everything that is as large as the tables, of which there are several copies."""
    module.model.zero_grad(set_to_none=True)
    module.model = nn.Identity()
    release_optimizers(trainer)
    for callback in callbacks:
        if isinstance(callback, (KeepBest, AverageWeights)):
            callback.release()


@torch.inference_mode()
def predict_logits(network: nn.Module, rows: Rows) -> Tensor:
    """Logits of some rows in evaluation mode, `(n,)`; afterwards the network has its earlier mode again."""
    weight, was_training = next(network.parameters()), network.training
    network.eval()
    try:
        return torch.cat(
            [
                network(dense.to(weight), ids.to(weight.device)).cpu()
                for dense, ids, *_ in EvaluationBatches(rows, _EVALUATION_BATCH)
            ]
        )
    finally:
        network.train(was_training)


def measure_subnet(subnet: Subnet, rows: Rows) -> Metrics:
    """Log loss and AUC of a subnet on some rows."""
    return measure(predict_logits(subnet, rows), *targets(rows))
