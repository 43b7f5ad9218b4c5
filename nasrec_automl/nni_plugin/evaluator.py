"""The Lightning module that NNI's evaluators train."""

from __future__ import annotations

from typing import Any

import nni
import torch
from torch.nn import functional as F

from nasrec_automl.data.batches import Batch
from nasrec_automl.errors import TrainingError
from nasrec_automl.nni_plugin.nas import LightningModule
from nasrec_automl.training.module import ClickModule, TrainingOptions


class ClickEvaluatorModule(ClickModule, LightningModule):
    """`ClickModule` for `nni.nas.evaluator.pytorch.Lightning`.

    Process 0 reports after each validation, and at the end, to whatever NNI channel is set. NNI's strategies maximise,
    so that `default` is the negative log loss; `log_loss` and `auc` stand beside it.
    """

    def __init__(self, options: TrainingOptions) -> None:
        super().__init__(options)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Record the results of a batch; in a training loop, where NNI's ENAS calls it, log the reward."""
        if not self.trainer.training:
            super().validation_step(batch, batch_idx)
            return
        self._check_once(batch)
        dense, ids, label, *weight = batch
        with torch.no_grad():
            losses = F.binary_cross_entropy_with_logits(self(dense, ids), label, reduction="none")
            weights = weight[0] if weight else torch.ones_like(losses)
            tiny = torch.finfo(losses.dtype).tiny  # of a batch whose weights are all 0
            self.log("default", -(losses * weights).sum() / weights.sum().clamp(min=tiny))

    # NNI's own one-shot modules hand on these two hooks, and not those of the validation's epoch.

    def on_validation_start(self) -> None:
        """Forget the last validation."""
        self.metrics = None
        self.on_validation_epoch_start()

    def on_validation_end(self) -> None:
        """Report the validation."""
        if self.metrics is None:
            self.metrics = self.measured()
        if not self.trainer.sanity_checking and self.trainer.is_global_zero:
            nni.report_intermediate_result(self._report())

    def on_fit_start(self) -> None:
        """Forget an earlier fit."""
        super().on_fit_start()
        self.metrics = None
        self._begun_at = self.trainer.global_step

    def on_fit_end(self) -> None:
        """Report the last validation as the result.

        Raises:
            TrainingError: the trainer was at its end already, and took no step for this model.
        """
        super().on_fit_end()
        trained = self.trainer.global_step > self._begun_at
        if self._begun_at and not trained and self.trainer.ckpt_path is None:
            raise TrainingError(
                f"the trainer was at its end already, after {self._begun_at:,} steps, and took none for this model: in "
                "one process NNI gives every model the same Lightning evaluator; give the experiment a "
                "FunctionalEvaluator, whose function makes a Lightning(...) with a Trainer of its own for each model"
            )
        if trained and self.metrics is not None and self.trainer.is_global_zero:
            nni.report_final_result(self._report())

    def _report(self) -> dict[str, Any]:
        assert self.metrics is not None
        return {"default": -self.metrics.log_loss, "log_loss": self.metrics.log_loss, "auc": self.metrics.auc}
