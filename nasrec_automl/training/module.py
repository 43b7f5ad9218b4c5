"""The Lightning module that trains a click model: a subnet from scratch, or NNI's supernet."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.data.batches import Batch
from nasrec_automl.errors import DataError, DivergedError, JobError
from nasrec_automl.hyper_space import OptimizerName
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.supernet import Supernet
from nasrec_automl.ops.slices import end_slice_gradients
from nasrec_automl.training.clipping import clip_gradients
from nasrec_automl.training.guard import ADVICE, check_batch, check_weights
from nasrec_automl.training.metrics import Metrics, measure
from nasrec_automl.training.optimizer import make_optimizer
from nasrec_automl.training.ranks import SparseDDP
from nasrec_automl.training.reduction import batch_mean
from nasrec_automl.training.schedule import warm_up_cosine
from nasrec_automl.training.seed import seeded

_logger = logging.getLogger(__name__)

_PRECISIONS = ("32-true", "64-true", "bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: length of the learning-rate schedule, as many as the trainer takes: after them nothing more is learned.
        learning_rate: its peak.
        optimizer: `adagrad`, `adam` or `sgd`. Of a weight that a path of a supernet uses in part, `adagrad` and `sgd`
            update and decay that part alone, `adam` the whole, as its moments say.
        schedule_warm_up: fraction of the steps over which it rises.
        weight_decay: of weights, and of embedding rows where `embedding_decay` is None.
        embedding_decay: of the embedding rows of each batch.
        clip_norm: bound of the gradients' norm. The published one, 5, is too loose: one huge gradient inflates the sums
            of Adagrad, and shrinks all later steps.
        eps: of Adagrad; small data want a small one.
        seed: of dropout; each step derives its own.

    Raises:
        JobError: a number is out of its range, or the optimiser is none of the three.
    """

    steps: int
    learning_rate: float
    optimizer: OptimizerName = "adagrad"
    schedule_warm_up: float = 0.1
    weight_decay: float = 0.0
    embedding_decay: float | None = None
    clip_norm: float = 0.2
    eps: float = 1e-8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(OptimizerName):
            names = ", ".join(get_args(OptimizerName))
            raise JobError(f"optimizer must be one of {names}, but it is {self.optimizer!r}")
        if self.steps < 1:
            raise JobError(f"steps must be at least 1, but it is {self.steps}")
        for name in ("learning_rate", "clip_norm", "eps"):
            value = getattr(self, name)
            if not 0 < value < math.inf:  # nor NaN
                raise JobError(f"{name} must be a finite number above 0, but it is {value}")
        for name in ("weight_decay", "embedding_decay", "seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise JobError(f"{name} must be a finite number of at least 0, but it is {value}")
        if not 0 <= self.schedule_warm_up <= 1:
            raise JobError(f"schedule_warm_up must be within 0 to 1, but it is {self.schedule_warm_up}")


class _EndSliceGradients(pl.Callback):
    """Leaves gradients to autograd again where an error ends a training, of which no hook of a module is told."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        end_slice_gradients(pl_module.parameters())


class ClickModule(pl.LightningModule):
    """Trains `model(dense, ids) -> logits` on click data, and measures it on validation.

    After each validation `metrics` holds its result, and `val_log_loss` and `val_auc` are logged; after each step
    `train_log_loss`, where the trainer has a logger.

    Raises, while a trainer runs it:
        DataError: a batch holds a bad value, or does not fit the network's schema.
        DivergedError: loss, gradients or weights are no longer finite. Steps and checkpoints with such are not made.
            (Of NNI's own one-shot strategies, those that step by Lightning's automatic optimisation do not clip, and
            then the loss alone is looked at.)
        JobError: the trainer's precision is none of `32-true`, `64-true` and `bf16-mixed`, or it is to clip gradients.
    """

    def __init__(self, options: TrainingOptions, model: nn.Module | None = None) -> None:
        super().__init__()
        self.options = options
        self.metrics: Metrics | None = None
        self._validated: list[tuple[Tensor, ...]] = []
        self._loss = torch.zeros(())
        self._is_checked = False
        self._said_end = False
        if model is not None:
            self.model = model

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits, `(B,)`."""
        logits: Tensor = self.model(dense, ids)
        return logits

    def configure_callbacks(self) -> list[pl.Callback]:
        """What the end of a training needs that fails."""
        return [_EndSliceGradients()]

    def on_fit_end(self) -> None:
        """Leave gradients to autograd again: torch's optimisers see none of the slices'."""
        end_slice_gradients(self.parameters())

    def on_fit_start(self) -> None:
        """Refuse precisions, and ways to share a training, that spoil it.

        The scaling of float16 knows nothing of gradients that are kept as slices. In weights of 16 bits small steps are
        rounded away, and so are the numbers that Adam counts with. Torch's DDP would average no gradients that are kept
        as slices: every process would train a supernet of its own.
        """
        shared = self.trainer.world_size > 1 and not isinstance(self.trainer.strategy, SparseDDP)
        if shared and any(isinstance(module, Supernet) for module in self.modules()):
            raise JobError(
                f"{self.trainer.world_size} processes: the strategies of a trainer cannot average the gradients of a "
                "supernet's slices; train it in one process (devices=1), or by a job with supernet.devices"
            )
        if str(self.trainer.precision) not in _PRECISIONS:
            raise JobError(
                f"precision: a training needs one of {', '.join(map(repr, _PRECISIONS))}, but it is "
                f"{self.trainer.precision!r}: set 'bf16-mixed' for products in bfloat16"
            )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Check a batch where it still lies, so that no look at its values waits for an accelerator."""
        self._check(batch)
        self._is_checked = True
        return batch

    def _check(self, batch: Any) -> None:
        try:
            check_batch(self, batch)
        except DataError as error:
            what = "training" if self.trainer.training else "validation"
            raise DataError(f"{what} batch after {self.global_step} steps: {error}") from None

    def _check_once(self, batch: Any) -> bool:
        """Check a batch, unless `on_before_batch_transfer` has: NNI's own one-shot modules do not hand that hook on.

        Returns:
            Whether it had been checked.
        """
        was_checked, self._is_checked = self._is_checked, False
        if not was_checked:
            self._check(batch)
        return was_checked

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Binary cross-entropy of a batch, weighted where the batch has weights, in units of the mean over all rows.

        Where several processes train, each has a part of the batch, and the loss is the whole batch's.
        """
        was_checked = self._check_once(batch)
        dense, ids, label, *weight = batch
        # Another mask for every part of the batch, and for every batch of a step where a trainer of one's own takes
        # several; a single process draws what it always drew.
        part = [self.global_rank] if self.global_rank else []
        batches = self.trainer.accumulate_grad_batches
        if batches > 1:
            part.append(batch_idx % batches)
        with seeded(self.options.seed, self.global_step, *part):
            logits = self(dense, ids)
        losses = F.binary_cross_entropy_with_logits(logits.to(label), label, reduction="none")
        loss = batch_mean(losses, weight[0] if weight else None)
        self._loss = loss.detach()
        if not was_checked and not torch.isfinite(self._loss):  # nor may anyone clip
            self._refuse_step(f"the loss is {self._loss.item():.4g}")
        if self.loggers:  # without one nobody would read it, and it costs as much as a layer
            self.log("train_log_loss", loss)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._validated.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep a batch's logits, labels and weights."""
        self._check_once(batch)
        dense, ids, *targets = batch
        self._validated.append((self(dense, ids), *targets))

    def on_validation_epoch_end(self) -> None:
        """Log what the batches gave."""
        self.metrics = self.measured()
        self.log("val_log_loss", self.metrics.log_loss)
        self.log("val_auc", self.metrics.auc)

    def measured(self) -> Metrics:
        """Measure the batches since the last validation started.

        Raises:
            DataError: there were none, some of them had weights and others none, or all weights were 0.
            DivergedError: the log loss is NaN or infinite.
        """
        if not self._validated:
            raise DataError(
                f"validation after {self.global_step} steps: the loader gave no batch: give it at least one row, or "
                "the trainer no validation loader"
            )
        if len({len(parts) for parts in self._validated}) > 1:
            raise DataError(
                "some validation batches have weights and others have none: give all of them weights or none"
            )
        metrics = measure(*(torch.cat(parts) for parts in zip(*self._validated, strict=True)))
        if not math.isfinite(metrics.log_loss):
            raise DivergedError(
                f"validation after {self.global_step} steps: the log loss is {metrics.log_loss}. {ADVICE}"
            )
        return metrics

    def configure_optimizers(self) -> Any:
        """The optimiser with linear warm-up and cosine, a step at a time.

        Raises:
            JobError: the embeddings' gradients are dense.
        """
        options = self.options
        if not all(module.sparse_gradients for module in self.modules() if isinstance(module, Embedding)):
            raise JobError(
                "sparse_gradients is off, but this module's optimisers move and decay the embedding rows of a batch "
                "alone: leave it on, or train with a Lightning module of your own"
            )
        optimizer = make_optimizer(
            options.optimizer,
            self.parameters(),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            embedding_decay=options.embedding_decay,
            eps=options.eps,
        )
        schedule = warm_up_cosine(optimizer, steps=options.steps, warm_up=options.schedule_warm_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip dense and sparse gradients together, which the trainer's own clipping cannot.

        Only gradients of what the optimiser moves count: NNI's differentiable strategies train parameters of their own
        with another one. An exception here leaves the weights as they are: the optimiser has not moved yet.

        Args:
            optimizer: about to take a step.
            gradient_clip_val: of the trainer, or of an NNI strategy; refused, since the bound is `clip_norm`.
            gradient_clip_algorithm: the same.
        """
        if gradient_clip_val:
            raise JobError(
                f"gradient_clip_val is {gradient_clip_val}, but a trainer cannot clip the sparse gradients of "
                "embeddings: leave it out of the trainer (or of NNI's strategy), and set TrainingOptions.clip_norm, "
                "which bounds all gradients together"
            )
        if optimizer.param_groups[0]["lr"] == 0 and not self._said_end:  # of a trainer of one's own, which takes more
            self._said_end = True
            _logger.warning(
                "the schedule has ended after %d steps: the learning rate stays 0, and nothing more is learned. Give "
                "TrainingOptions as many steps as the trainer takes, epochs x batches (with ENAS of validation too)",
                self.options.steps,
            )
        norm = clip_gradients(
            (one for group in optimizer.param_groups for one in group["params"]), self.options.clip_norm
        )
        if not torch.isfinite(self._loss + norm):  # one look: on an accelerator it waits for the step
            rate = optimizer.param_groups[0]["lr"]
            self._refuse_step(
                f"the loss is {self._loss.item():.4g} and the norm of the gradients {norm.item():.4g}, at the learning "
                f"rate {rate:.3g}"
            )

    def _refuse_step(self, found: str) -> NoReturn:
        raise DivergedError(
            f"step {self.global_step + 1} of {self.options.steps}: {found}; the step was not applied. {ADVICE}"
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to write weights that are not finite."""
        check_weights(checkpoint["state_dict"])
