"""Stage `supernet`: NNI trains the supernet with the one-shot strategy."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.files import written_beside
from nasrec_automl.data.parts import Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DivergedError
from nasrec_automl.network import Supernet
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.base import Report, Stage
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.earlier import continued, earlier_supernet
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.run_folder import DATA_FINGERPRINT, RunFolder
from nasrec_automl.pipeline.teachers import kept_of_teachers, labels_of, teachers
from nasrec_automl.pipeline.training_processes import training_processes
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import load_search_space
from nasrec_automl.training.keep_best import Checkpoints, KeepBest
from nasrec_automl.training.lightning import (
    drop_unreadable,
    quiet,
    quiet_trainer,
    raising_interrupts,
    release_optimizers,
)
from nasrec_automl.training.module import TrainingOptions
from nasrec_automl.training.ranks import Rank

_logger = logging.getLogger(__name__)

_VALIDATION_ROWS = 65_536
"""The curve needs no more rows."""
_VALIDATION_ARCHITECTURES = 64
"""Each batch validates another one, so that which weights are best does not hang on a few; of many rows more."""
_VALIDATION_BATCHES = 16, 1024
"""Fewest and most rows of a batch."""


class SupernetStage(Stage):
    """Trains the supernet on the training part, step by step from the last checkpoint.

    Args:
        label: gives that of the train rows, where settings are tried; by default the run's teachers have a say in it.
    """

    name = "supernet"

    def __init__(self, label: Callable[[], NDArray[np.float32] | None] | None = None) -> None:
        self._label = label

    def devices(self, run: RunFolder) -> int:
        """All of the job's."""
        return run.job.devices

    def units(self, run: RunFolder) -> tuple[int, int]:
        """One unit: the trained weights."""
        return int(run.weights.is_file()), 1

    def kept(self, run: RunFolder) -> int:
        """The checkpoint's time, before it the teachers: there is one unit only, and it takes long."""
        checkpoint = _checkpoint(run)
        if checkpoint.is_file():
            return checkpoint.stat().st_mtime_ns
        return super().kept(run) + (kept_of_teachers(run) if run.job.supernet.teacher_share else 0)

    def _left_nothing(self, run: RunFolder) -> bool:
        # Teachers have settings of their own.
        return not _checkpoint(run).is_file() and not run.weights.is_file()

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The supernet section, and what shapes the network."""
        section = run.job.supernet.model_dump(mode="json")
        return {
            **{f"supernet.{key}": value for key, value in section.items()},
            # What else of the section changes who teaches may change: it is of what is trained later.
            **({"retrain.teachers": run.job.retrain.teachers} if run.job.supernet.teacher_share else {}),
            "space": load_search_space(run.job.space).model_dump(mode="json"),
            "embedding_dim": run.job.embedding_dim,
            "seed": run.job.seed,
            "precision": run.job.precision,
            **continued(run, "supernet"),
            DATA_FINGERPRINT: PreparedData.open(run.data).fingerprint,
        }

    def _run(self, run: RunFolder, count: int | None, report: Report) -> dict[str, float]:
        if self.is_done(run):
            self.tidy(run)
            return _Curve(run).kept()
        drop_unreadable(_checkpoint(run))
        if not _checkpoint(run).is_file():  # points of a training that was stopped before its first
            (run.supernet / "curve.json").unlink(missing_ok=True)
        curve = _Curve(run)
        total = training_steps(run)
        progress = ProgressWriter(run.progress(self.name), stage=self.name, unit="steps", total=total)
        if not _checkpoint(run).is_file():
            _check_budget(run)
            earlier_supernet(run)  # what is wrong with it is said before teachers are trained
            label = self._label or partial(supernet_label, run, lambda words: progress.update(0, words))
            _write_label(run, label())
        try:
            with training_processes(run.job) as rank:
                supernet = train_supernet(run, rank, [_Watch(progress, curve, report)])
        except DivergedError as error:
            where = _where_it_stands(_checkpoint(run))
            raise DivergedError(f"the supernet's training diverged; {where}. At {error}") from None
        save_network(supernet, run.weights)
        progress.update(total, curve.note_at_end(total))
        if self._label is None:  # among settings that are tried there are bad ones
            _warn_of_chance(run, curve.kept())
        self.tidy(run)
        return curve.kept()

    def tidy(self, run: RunFolder) -> None:
        """Delete checkpoint and labels, and what processes that were killed have left beside them."""
        files = (_checkpoint(run), _label(run))
        beside = (left for path in (*files, run.weights) for left in path.parent.glob(f".{path.name}.*.partial"))
        for left in (*files, *beside):
            left.unlink(missing_ok=True)


def _warn_of_chance(run: RunFolder, kept: Mapping[str, float]) -> None:
    """Say that a supernet has learned nothing that can be told from chance: its scores then say nothing either."""
    label = _validated(run).label
    clicks = int(np.count_nonzero(label))
    others = len(label) - clicks
    auc = kept.get("auc", math.nan)
    # The standard error of an AUC without any order (Mann and Whitney 1947).
    if auc < 0.5 + 2 * math.sqrt((len(label) + 1) / (12 * max(1, clicks * others))):
        _logger.warning(
            "the supernet orders validation rows no better than chance (AUC %.4f), so that its scores say nothing: "
            "give it more steps (supernet.epochs) or another supernet.learning_rate, in another run_folder",
            auc,
        )


def supernet_label(run: RunFolder, tell: Callable[[str], object] | None = None) -> NDArray[np.float32] | None:
    """Labels of train rows that teachers have `supernet.teacher_share` of; None where they have none.

    Args:
        run: whose data are prepared.
        tell: as in `teachers`.
    """
    share = run.job.supernet.teacher_share
    if not share:
        return None
    return labels_of(run, {Part.TRAIN: [*teachers(run, tell, checked=False).values()]}, share=share)


def _write_label(run: RunFolder, label: NDArray[np.float32] | None) -> None:
    """Write labels down, which all processes of a training read, and a start that goes on."""
    _label(run).unlink(missing_ok=True)  # of a start that was stopped before its first checkpoint
    if label is not None:
        _label(run).parent.mkdir(parents=True, exist_ok=True)
        with written_beside(_label(run)) as beside, beside.open("wb") as file:
            np.save(file, label)


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
    if _label(run).is_file():
        rows = replace(rows, label=np.load(_label(run), mmap_mode="r"))
    batches = TrainingBatches(
        rows,
        config.batch_size,
        job.seed,
        training_steps(run),
        rank=rank.number,
        ranks=rank.count,
    )
    interval = max(1, len(batches) // config.validations)
    checkpoint = _checkpoint(run)
    keeper = KeepBest(config.patience) if _ends_early(run) else None
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
            _validated(run),
            trainer,
            str(checkpoint) if checkpoint.is_file() else None,
        )
        if keeper is not None:
            keeper.restore()
    finally:  # one that diverged too: NNI holds on to the trainer, and so to these, until the process ends
        if keeper is not None:
            keeper.release()
        release_optimizers(trainer)
    supernet.zero_grad(set_to_none=True)
    return supernet.cpu().eval()


def _validated(run: RunFolder) -> Rows:
    """The rows that validate the supernet."""
    return PreparedData.open(run.data).part(Part.SEARCH).sample(_VALIDATION_ROWS, run.job.seed)


def _ends_early(run: RunFolder) -> bool:
    """Whether the training may end early. Rows that are read once cannot be learned by heart."""
    config = run.job.supernet
    return config.patience > 0 and config.passes(PreparedData.open(run.data).rows(Part.TRAIN)) > 1


class _Start(pl.Callback):
    """Gives the supernet the weights of an earlier one before its first step."""

    def __init__(self, earlier: Supernet) -> None:
        self._weights = earlier.state_dict()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shared: Any = pl_module.shared  # of NasRecOneShot's module
        shared.supernet.load_state_dict(self._weights)
        self._weights = {}  # NNI holds on to the trainer, and so to this, until the process ends


def training_steps(run: RunFolder) -> int:
    """Steps of the supernet's training."""
    config = run.job.supernet
    rows = PreparedData.open(run.data).rows(Part.TRAIN)
    return max(1, config.passes(rows) * rows // min(config.batch_size, rows))


def kept_steps(run: RunFolder) -> int:
    """Steps that the weights of a trained supernet have seen."""
    return round(_Curve(run).kept_point()["step"]) if _ends_early(run) else training_steps(run)


def path_schedule(run: RunFolder) -> WarmUp:
    """What draws the path of each step of the supernet's training."""
    config = run.job.supernet
    sampler = path_sampler(config.sampling, load_search_space(run.job.space))
    return WarmUp(sampler, steps=_path_warm_up_steps(run), seed=run.job.seed)


def _path_warm_up_steps(run: RunFolder) -> int:
    return round(run.job.supernet.path_warm_up * training_steps(run))


def _check_budget(run: RunFolder) -> None:
    """Raise a BudgetError where no architecture is inside the job's budget: the search says so hours later."""
    if run.job.budget.limits:
        unseen(load_search_space(run.job.space), np.random.default_rng(0), seen=(), budget=job_budget(run))


def _checkpoint(run: RunFolder) -> Path:
    return run.supernet / "last.ckpt"


def _label(run: RunFolder) -> Path:
    return run.supernet / "labels.npy"


def _where_it_stands(checkpoint: Path) -> str:
    if not checkpoint.is_file():
        return "there is no checkpoint yet: correct the job and run it again"
    step = torch.load(checkpoint, weights_only=True, mmap=True, map_location="cpu")["global_step"]
    return (
        f"its last good checkpoint, after {step} steps, is kept in {checkpoint}; other settings need another run_folder"
    )


def _nni_trainer(**options: Any) -> Any:
    from nasrec_automl.nni_plugin.nas import Trainer

    return quiet_trainer(cls=Trainer, **options)


def _train(
    run: RunFolder,
    data: PreparedData,
    batches: TrainingBatches,
    validation: Rows,
    trainer: Any,
    checkpoint: str | None,
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
        fit_kwargs={} if checkpoint is None else {"ckpt_path": checkpoint, "weights_only": True},
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


class _Curve:
    """The supernet's validation curve on disk, a point a step."""

    def __init__(self, run: RunFolder) -> None:
        self.path = run.supernet / "curve.json"
        self.best = _ends_early(run)
        self.points: list[dict[str, float]] = read_json(self.path) or []

    def add(self, point: dict[str, float]) -> None:
        """Add a point; those of a broken run that lie ahead of it go."""
        self.points = [*(p for p in self.points if p["step"] < point["step"]), point]
        write_json(self.path, self.points)

    def kept_point(self) -> dict[str, float]:
        """The point of the kept weights: the best one where the training may end early, or else the last.

        The last is not always at the end, whose weights are kept then: what is left of the steps after the last whole
        interval is not validated.
        """
        if not self.points:
            return {}
        return min(self.points, key=lambda point: point["log_loss"]) if self.best else self.points[-1]

    def kept(self) -> dict[str, float]:
        """That point's metrics."""
        return {key: value for key, value in self.kept_point().items() if key in ("log_loss", "auc")}

    def note(self) -> str:
        """The point of the kept weights for people."""
        kept = self.kept()
        return f"log loss {kept['log_loss']:.4f}, AUC {kept['auc']:.4f}" if kept else ""

    def note_at_end(self, total: int) -> str:
        """The same, and when the training ended, where it did before its last step."""
        if not self.best or not self.points or self.points[-1]["step"] + self._interval > total:
            return self.note()
        return f"{self.note()}, ended after {self.points[-1]['step']:,} steps, as it got no better"

    @property
    def _interval(self) -> float:
        return self.points[0]["step"]


class _Watch(pl.Callback):
    """Tells progress and validation to disk and to whoever listens."""

    def __init__(self, progress: ProgressWriter, curve: _Curve, report: Report) -> None:
        self.progress = progress
        self.curve = curve
        self.report = report
        self._train_losses: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.restart(trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._train_losses.append(outputs["loss"].detach())  # its value would wait for an accelerator
        self.progress.update(trainer.global_step, self.curve.note())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        metrics = pl_module.training_module.metrics
        point = {"step": trainer.global_step, **metrics.quality}
        if self._train_losses:
            point["train_loss"] = torch.stack(self._train_losses).double().mean().item()
            self._train_losses.clear()
        self.curve.add(point)
        self.report(metrics.quality)
