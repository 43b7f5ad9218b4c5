"""The supernet's training as an NNI one-shot strategy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import DivergedError
from nasrec_automl.nni_plugin.nas import OneShotStrategy, RandomSamplingLightningModule
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.training.metrics import measure
from nasrec_automl.training.module import Batch


class NasRecLightningModule(RandomSamplingLightningModule):
    """Sets the path of each step; everything else is the evaluator's own module.

    Validation runs a fixed set of random architectures, one a batch, so that its curve compares like with like.
    """

    def __init__(
        self, training_module: Any, *, sampling: str, warm_up_steps: int, seed: int, export_candidates: int
    ) -> None:
        super().__init__(training_module)
        self._sampling = sampling
        self._warm_up_steps = warm_up_steps
        self._seed = seed
        self._export_candidates = export_candidates
        self._warm_up: WarmUp | None = None

    @property
    def shared(self) -> SharedNetwork:
        """The network that holds the weights."""
        return next(module for module in self.supernet_modules() if isinstance(module, SharedNetwork))

    @property
    def warm_up(self) -> WarmUp:
        """What draws the path of a step."""
        if self._warm_up is None:
            sampler = path_sampler(self._sampling, self.shared.supernet.space)
            self._warm_up = WarmUp(sampler, steps=self._warm_up_steps, seed=self._seed)
        return self._warm_up

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Train the path of this step."""
        self.shared.path = self.warm_up.path(self.global_step)
        loss: Tensor = self.training_module.training_step(batch, batch_idx)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Validate the architecture that belongs to this batch."""
        self.shared.path = self._fixed_architecture(batch_idx).path
        self.training_module.validation_step(batch, batch_idx)

    def _fixed_architecture(self, number: int) -> Architecture:
        rng = np.random.default_rng([self._seed, 1, number])
        return self.shared.supernet.space.random(rng)

    # Hooks that NNI's base class does not hand on.

    def on_validation_epoch_start(self) -> None:
        """Hand on."""
        self.training_module.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Hand on."""
        self.training_module.on_validation_epoch_end()

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Hand on; where the step went wrong, say which path it took."""
        try:
            self.training_module.configure_gradient_clipping(*args, **kwargs)
        except DivergedError as error:
            path, space = self.shared.path, self.shared.supernet.space
            shown = f"the full path of {space.name}" if path == full_path(space) else str(path)
            raise DivergedError(f"{error}. The step's path: {shown}") from None

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Hand on."""
        return self.training_module.on_before_batch_transfer(batch, dataloader_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Hand on."""
        self.training_module.on_save_checkpoint(checkpoint)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Hand on."""
        self.training_module.lr_scheduler_step(scheduler, metric)

    def export(self) -> dict[str, Any]:
        """The best of some random architectures by validation log loss, with the shared weights as they are.

        A search with the weight-sharing evaluator finds better ones; this is what NNI's `export_top_models` shows.
        """
        loader = self.trainer.val_dataloaders
        candidates = [self._fixed_architecture(number) for number in range(self._export_candidates)]
        best = min(candidates, key=lambda architecture: self._log_loss(architecture, loader))
        return dict(best.params)

    @torch.no_grad()
    def _log_loss(self, architecture: Architecture, loader: Any) -> float:
        supernet = self.shared.supernet.eval()
        batches = [(supernet(dense, ids, architecture), label) for dense, ids, label, *_ in loader]
        logits, labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
        return measure(logits, labels).log_loss


class NasRecOneShot(OneShotStrategy):
    """Trains NASRec's supernet (arXiv 2207.07187) inside an NNI `NasExperiment`.

    Args:
        sampling: path sampler by name: `single-operator`, `single-path`, `any-path`, `full-path`.
        warm_up_steps: T, the steps over which the whole supernet is trained with falling probability.
        seed: of the paths; those of a step derive from it and the step's number alone.
        export_candidates: random architectures among which `export_top_models` picks the best.
    """

    def __init__(
        self,
        *,
        sampling: str = "single-operator",
        warm_up_steps: int = 0,
        seed: int = 0,
        export_candidates: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options: dict[str, Any] = {
            "sampling": sampling,
            "warm_up_steps": warm_up_steps,
            "seed": seed,
            "export_candidates": export_candidates,
        }

    def configure_oneshot_module(self, training_module: Any) -> NasRecLightningModule:
        """Wrap the evaluator's module; NNI calls it once."""
        return NasRecLightningModule(training_module, **self.options)

    def extra_repr(self) -> str:
        """Arguments, for NNI's logs."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
