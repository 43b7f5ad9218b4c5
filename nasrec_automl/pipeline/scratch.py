"""How a run trains an architecture from scratch: as its retrain section says, measured on the hpo part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import Job
from nasrec_automl.cost import Profile, profile
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.evaluation.scratch import ScratchOptions, Trained, train_from_scratch
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.search import Hyper
from nasrec_automl.search.hyper import default_params
from nasrec_automl.space import load_search_space
from nasrec_automl.training.keep_best import OnValidation


def training_lengths(run: RunFolder) -> dict[str, int]:
    """How long a training is at most, and how often it is measured: what the retrain section makes of the rows."""
    data, config = PreparedData.open(run.data), run.job.retrain
    rows = data.rows(*TRAINING)
    return {"max_epochs": config.epochs(rows), "validations_per_epoch": config.validations(rows)}


def most_validations(run: RunFolder) -> int:
    """How often a training is measured that goes to its end, where its batches divide an epoch well."""
    lengths = training_lengths(run)
    return lengths["max_epochs"] * lengths["validations_per_epoch"]


def step_in_words(run: RunFolder, hyper: Hyper, step: int, parts: Sequence[Part] = TRAINING) -> str:
    """How far a training on these parts has come; it may end before its last step."""
    data = PreparedData.open(run.data)
    most, _ = _steps(run.job, data.rows(*parts), hyper.batch_size)
    return f"step {step:,} of at most {most:,}"


def _steps(job: Job, rows: int, batch_size: int) -> tuple[int, int]:
    """Steps of a training on so many rows at most, and from one measurement to the next."""
    config, per_epoch = job.retrain, max(1, rows // batch_size)
    return config.epochs(rows) * per_epoch, max(1, per_epoch // config.validations(rows))


def progress_at(run: RunFolder, hyper: Hyper, step: int) -> int:
    """How far a training has come that is measured at this step: `most_validations` at its last measurement.

    How often a training is measured depends on its batch size, where an epoch has few steps. This is the share of its
    schedule: equal numbers are equal epochs, whatever the batch size.
    """
    data = PreparedData.open(run.data)
    steps, every = _steps(run.job, data.rows(*TRAINING), hyper.batch_size)
    most = most_validations(run)
    return most if step + every > steps else round(step * most / steps)


def check_teaches(job: Job) -> bool:
    """Whether architectures that the check of the scores trains may teach."""
    return job.retrain.teachers > 0 and job.search.verdict.architectures > 0


def has_teachers(job: Job) -> bool:
    """Whether candidates have teachers: the job wants some, and there are hand designs or a check to be them."""
    return job.retrain.teachers > 0 and (bool(hand_designs(load_search_space(job.space))) or check_teaches(job))


def default_hyper(job: Job, *, taught: bool) -> Hyper:
    """What every training from scratch begins with, by whether it has teachers."""
    space = job.retrain.space
    return Hyper.of(default_params("", space, taught=taught), space)


def has_layer_norm(job: Job, hyper: Hyper) -> bool:
    """Whether the operators of a network that is trained so end in a LayerNorm."""
    return job.retrain.layer_norm if hyper.layer_norm is None else hyper.layer_norm


def with_settings(job: Job, hyper: Hyper) -> Hyper:
    """The hyper-parameters with the job's settings where they leave it to a job: another job may have others."""
    width = hyper.embedding_dim or job.embedding_dim
    return replace(hyper, embedding_dim=width, layer_norm=has_layer_norm(job, hyper))


def scratch_options(job: Job, hyper: Hyper, rows: int, *, seed_offset: int = 0) -> ScratchOptions:
    """How an architecture is trained on so many rows; the offset is added to the job's seed."""
    config = job.retrain
    steps, every = _steps(job, rows, hyper.batch_size)
    return ScratchOptions(
        batch_size=hyper.batch_size,
        optimizer=hyper.optimizer,
        learning_rate=hyper.learning_rate,
        weight_decay=hyper.weight_decay,
        embedding_decay=hyper.embedding_decay,
        dropout=hyper.dropout,
        layer_norm=has_layer_norm(job, hyper),
        average_weights=config.average_weights,
        clip_norm=config.clip_norm,
        eps=config.eps,
        seed=job.seed + seed_offset,
        steps=steps,
        validate_every=every,
        patience=config.patience,
        device=job.device,
        precision=job.precision,
    )


def scratch_schema(job: Job, data: PreparedData, hyper: Hyper) -> FeatureSchema:
    """The schema of a network that is trained so: its embedding width and table cap are hyper-parameters."""
    return data.schema(hyper.embedding_dim or job.embedding_dim, hyper.table_cap)


def trained_profile(job: Job, data: PreparedData, architecture: Architecture, hyper: Hyper) -> Profile:
    """What a network costs as it is trained: its embedding width, table cap and LayerNorm are hyper-parameters."""
    return profile(architecture, scratch_schema(job, data, hyper), layer_norm=has_layer_norm(job, hyper))


def train_by_job(
    run: RunFolder,
    architecture: Architecture,
    hyper: Hyper,
    on_validation: OnValidation | None = None,
    *,
    parts: Sequence[Part] = TRAINING,
    checkpoint: Path | None = None,
    seed_offset: int = 0,
    label: NDArray[np.float32] | None = None,
) -> Trained:
    """Train an architecture, measured on the hpo part, as the retrain section says.

    Args:
        run: whose data are prepared.
        architecture: what to train.
        hyper: how.
        on_validation: called after each measurement; True ends the training.
        parts: to train on.
        checkpoint: as in `train_from_scratch`.
        seed_offset: added to the job's seed.
        label: of these parts' rows, in place of their own.
    """
    data = PreparedData.open(run.data)
    rows = data.part(*parts)
    if label is not None:
        rows = replace(rows, label=label)
    return train_from_scratch(
        architecture,
        scratch_schema(run.job, data, hyper),
        rows,
        data.part(Part.HPO),
        scratch_options(run.job, hyper, len(rows), seed_offset=seed_offset),
        on_validation=on_validation,
        checkpoint=checkpoint,
    )
