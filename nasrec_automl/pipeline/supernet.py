"""Stage `supernet`: NNI trains the supernet with the one-shot strategy."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.earlier import continued, earlier_supernet
from nasrec_automl.pipeline.files import newest, read_json, write_array, write_json
from nasrec_automl.pipeline.progress import ProgressWriter, Tell, silent
from nasrec_automl.pipeline.run_folder import DATA_FINGERPRINT, RunFolder
from nasrec_automl.pipeline.studies import found_study
from nasrec_automl.pipeline.supernet_training import (
    checkpoint_file,
    ends_early,
    label_file,
    train_supernet,
    training_steps,
    validation_rows,
)
from nasrec_automl.pipeline.teachers import labels_of, resume_mark_of_teachers, teachers
from nasrec_automl.pipeline.training_processes import training_processes
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import load_search_space
from nasrec_automl.training.lightning import (
    checkpoint_steps,
    drop_unreadable,
)

_logger = logging.getLogger(__name__)


class SupernetStage(Stage):
    """Trains the supernet on the training part, step by step from the last checkpoint.

    Args:
        label: makes the labels of the train rows, where settings are tried; by default the run's teachers have a say
            in them.
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

    def resume_mark(self, run: RunFolder) -> tuple[int, ...]:
        """The checkpoint's time too, before it the teachers: there is one unit only, and it takes long."""
        trained, _ = self.units(run)
        saved = newest([checkpoint_file(run)])
        taught = resume_mark_of_teachers(run) if run.job.supernet.teacher_share and not saved else ()
        return trained, saved, *taught

    def _left_nothing(self, run: RunFolder) -> bool:
        # Teachers have settings of their own.
        return not checkpoint_file(run).is_file() and not run.weights.is_file()

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

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        if self.is_done(run):
            self.tidy(run)
            return _Curve(run).kept()
        drop_unreadable(checkpoint_file(run))
        if not checkpoint_file(run).is_file():  # points of a training that was stopped before its first
            run.curve.unlink(missing_ok=True)
        curve = _Curve(run)
        total = training_steps(run)
        progress = ProgressWriter(run.progress(self.name), unit="steps", total=total)
        if not checkpoint_file(run).is_file():
            # What is wrong with these is said before hours of work, while the folder takes another name.
            _check_budget(run)
            earlier_supernet(run)
            if self._label is None:  # no search follows supernets whose settings are tried
                found_study(run, "search")
            label = self._label or partial(
                supernet_label, run, tell=lambda words: progress.update(0, words), workers=workers
            )
            _write_label(run, label())
        try:
            with training_processes(run.job) as rank:
                supernet = train_supernet(run, rank, [_Watch(progress, curve, on_metrics)])
        except DivergedError as error:
            where = _where_it_stands(checkpoint_file(run))
            raise DivergedError(f"the supernet's training diverged; {where}. At {error}") from None
        save_network(supernet, run.weights)
        progress.update(total, curve.note_at_end(total))
        if self._label is None:  # among settings that are tried there are bad ones
            _warn_of_chance(run, curve.kept())
        self.tidy(run)
        return curve.kept()

    def tidy(self, run: RunFolder) -> None:
        """Delete checkpoint and labels, and what processes that were killed have left beside them."""
        files = (checkpoint_file(run), label_file(run))
        beside = (left for path in (*files, run.weights) for left in path.parent.glob(f".{path.name}.*.partial"))
        for left in (*files, *beside):
            left.unlink(missing_ok=True)


def _warn_of_chance(run: RunFolder, kept: Mapping[str, float]) -> None:
    """Say that a supernet has learned nothing that can be told from chance: its scores then say nothing either."""
    label = validation_rows(run).label
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


def supernet_label(run: RunFolder, *, tell: Tell = silent, workers: int = 1) -> NDArray[np.float32] | None:
    """Labels of train rows that teachers have `supernet.teacher_share` of; None where they have none.

    Args:
        run: whose data are prepared.
        tell: told how far the teachers' trainings have come.
        workers: processes that share these trainings, this one included.
    """
    share = run.job.supernet.teacher_share
    if not share:
        return None
    found = teachers(run, tell=tell, checked=False, workers=workers)
    return labels_of(run, {Part.TRAIN: [*found.values()]}, share=share)


def _write_label(run: RunFolder, label: NDArray[np.float32] | None) -> None:
    """Write labels down, which all processes of a training read, and a start that goes on."""
    label_file(run).unlink(missing_ok=True)  # of a start that was stopped before its first checkpoint
    if label is not None:
        write_array(label_file(run), label)


def kept_steps(run: RunFolder) -> int:
    """Steps that the weights of a trained supernet have seen."""
    return round(_Curve(run).kept_point()["step"]) if ends_early(run) else training_steps(run)


def _check_budget(run: RunFolder) -> None:
    """Raise a BudgetError where no architecture is inside the job's budget: the search says so hours later."""
    if run.job.budget.limits:
        unseen(load_search_space(run.job.space), np.random.default_rng(0), seen=(), budget=job_budget(run))


def _where_it_stands(checkpoint: Path) -> str:
    if not checkpoint.is_file():
        return "there is no checkpoint yet: correct the job and run it again"
    return (
        f"its last good checkpoint, after {checkpoint_steps(checkpoint)} steps, is kept in {checkpoint}; other "
        "settings need another run_folder"
    )


class _Curve:
    """The supernet's validation curve on disk, a point a step."""

    def __init__(self, run: RunFolder) -> None:
        self.path = run.curve
        self.best = ends_early(run)
        self.points: list[dict[str, float]] = read_json(self.path) or []

    def add(self, point: dict[str, float]) -> None:
        """Add a point; those of a broken run that lie ahead of it go."""
        self.points = [*(p for p in self.points if p["step"] < point["step"]), point]
        write_json(self.path, self.points)

    def kept_point(self) -> dict[str, float]:
        """The point of the kept weights: the best one where the training may end early, or else the last.

        The last point may come before the last step: steps after the last whole interval are not validated, and the
        weights that are kept are those of the end.
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

    def __init__(self, progress: ProgressWriter, curve: _Curve, on_metrics: OnMetrics) -> None:
        self.progress = progress
        self.curve = curve
        self.on_metrics = on_metrics
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
        self.on_metrics(metrics.quality)
