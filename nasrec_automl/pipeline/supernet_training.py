"""The training of a run's supernet: NNI runs it with the one-shot strategy, in this process or several."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.network import Supernet
from nasrec_automl.pipeline.earlier import earlier_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.space import load_search_space
from nasrec_automl.training.keep_best import Checkpoints, KeepBest
from nasrec_automl.training.lightning import (
    quiet,
    quiet_trainer,
    raising_interrupts,
    release_optimizers,
    resume_options,
)
from nasrec_automl.training.module import TrainingOptions
from nasrec_automl.training.ranks import Rank

_VALIDATION_ROWS = 65_536
"""The curve needs no more rows."""
_VALIDATION_ARCHITECTURES = 64
"""Each batch validates another one, so that which weights are best does not hang on a few; of many rows more."""
_VALIDATION_BATCHES = 16, 1024
"""Fewest and most rows of a batch."""


def training_steps(run: RunFolder) -> int:
    """Steps of the supernet's training."""
    config = run.job.supernet
    rows = PreparedData.open(run.data).rows(Part.TRAIN)
    return max(1, config.passes(rows) * rows // min(config.batch_size, rows))


def path_schedule(run: RunFolder) -> WarmUp:
    """What draws the path of each step of the supernet's training."""
    config = run.job.supernet
    sampler = path_sampler(config.sampling, load_search_space(run.job.space))
    return WarmUp(sampler, steps=_path_warm_up_steps(run), seed=run.job.seed)


def _path_warm_up_steps(run: RunFolder) -> int:
    return round(run.job.supernet.path_warm_up * training_steps(run))


def ends_early(run: RunFolder) -> bool:
    """Whether the training may end early. Rows that are read once cannot be learned by heart."""
    config = run.job.supernet
    return config.patience > 0 and config.passes(PreparedData.open(run.data).rows(Part.TRAIN)) > 1


def validation_rows(run: RunFolder) -> Rows:
    """The rows that validate the supernet."""
    return PreparedData.open(run.data).part(Part.SEARCH).sample(_VALIDATION_ROWS, run.job.seed)


def checkpoint_file(run: RunFolder) -> Path:
    """Where the training leaves its last checkpoint."""
    return run.supernet / "last.ckpt"


def label_file(run: RunFolder) -> Path:
    """Where the labels of the train rows are that all of its processes read; not there where they are the rows' own."""
    return run.supernet / "labels.npy"


def train_supernet(run: RunFolder, rank: Rank, callbacks: list[pl.Callback]) -> Supernet:
    """Train the supernet of a job as one of its processes, from the checkpoint where there is one.

    Args:
        run: the run folder, with its prepared data.
        rank: which process this is; process 0 writes the checkpoints.
        callbacks: what else listens.
    """
    job, config = run.job, run.job.supernet
    data = PreparedData.open(run.data)
    rows = data.part(Part.TRAIN)
    if label_file(run).is_file():
        rows = replace(rows, label=np.load(label_file(run), mmap_mode="r"))
    batches = TrainingBatches(
        rows,
        config.batch_size,
        job.seed,
        training_steps(run),
        rank=rank.number,
        ranks=rank.count,
    )
    interval = max(1, len(batches) // config.validations)
    checkpoint = checkpoint_file(run)
    keeper = KeepBest(config.patience) if ends_early(run) else None
    if not checkpoint.is_file():
        callbacks = [*callbacks, *(_Start(earlier) for earlier in earlier_supernet(run))]
    trainer = _nni_trainer(
        max_steps=len(batches),
        device=job.device,
        precision=job.precision,
        val_check_interval=interval,
        callbacks=[*([keeper] if keeper else []), *callbacks, Checkpoints(checkpoint)],
        **rank.trainer_options(),
    )
    try:
        supernet = _train(
            run,
            data,
            batches,
            validation_rows(run),
            trainer,
        )
        if keeper is not None:
            keeper.restore()
    finally:  # one that diverged too: NNI holds on to the trainer, and so to these, until the process ends
        if keeper is not None:
            keeper.release()
        release_optimizers(trainer)
    supernet.zero_grad(set_to_none=True)
    return supernet.cpu().eval()


class _Start(pl.Callback):
    """Gives the supernet the weights of an earlier one before its first step."""

    def __init__(self, earlier: Supernet) -> None:
        self._weights = earlier.state_dict()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shared: Any = pl_module.shared  # of NasRecOneShot's module
        shared.supernet.load_state_dict(self._weights)
        self._weights = {}  # NNI holds on to the trainer, and so to this, until the process ends


def _nni_trainer(**options: Any) -> Any:
    from nasrec_automl.nni_plugin.nas import Trainer

    return quiet_trainer(cls=Trainer, **options)


def _train(
    run: RunFolder,
    data: PreparedData,
    batches: TrainingBatches,
    validation: Rows,
    trainer: Any,
) -> Supernet:
    """Run NNI's experiment in process 0; the others train along, and leave the experiment's files to it."""
    from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecOneShot, NasRecSpace
    from nasrec_automl.nni_plugin.nas import Lightning, NasExperimentConfig, UnlistedExperiment

    job, config = run.job, run.job.supernet
    space = NasRecSpace(
        load_search_space(job.space),
        data.schema(job.embedding_dim),
        layer_norm=config.layer_norm,
        dropout=config.dropout,
        seed=job.seed,
    )
    options = TrainingOptions(
        steps=len(batches),
        learning_rate=config.learning_rate,
        schedule_warm_up=config.schedule_warm_up,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        eps=config.eps,
        seed=job.seed,
    )
    evaluator = Lightning(
        ClickEvaluatorModule(options),
        trainer,
        batches,
        EvaluationBatches(validation, _validation_batch(len(validation))),
        fit_kwargs=resume_options(checkpoint_file(run)),
    )
    strategy = NasRecOneShot(sampling=config.sampling, warm_up_steps=_path_warm_up_steps(run), seed=job.seed)
    with _quiet_nni(), quiet(), raising_interrupts():
        if not trainer.is_global_zero:
            strategy.mutate_evaluator(evaluator).evaluate(strategy.mutate_model(space))
            return _trained(space)
        settings = NasExperimentConfig.default(space, evaluator, strategy)
        settings.experiment_name = job.name
        settings.experiment_working_directory = run.supernet / "nni"
        experiment = UnlistedExperiment(space, evaluator, strategy, settings)
        try:
            ended = experiment.run()
        finally:
            experiment.stop()
        if ended is None:  # NNI takes an interrupt for the end of the experiment, and says no more
            raise KeyboardInterrupt
    return _trained(strategy.supernet)


def _trained(space: Any) -> Supernet:
    supernet: Supernet = space.network.supernet
    return supernet


def _validation_batch(rows: int) -> int:
    smallest, largest = _VALIDATION_BATCHES
    return max(smallest, min(largest, rows // _VALIDATION_ARCHITECTURES))


@contextmanager
def _quiet_nni() -> Iterator[None]:
    """Keep NNI's log out of the terminal: the stage shows its own progress, and errors are raised."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        yield
    finally:
        logging.disable(before)
