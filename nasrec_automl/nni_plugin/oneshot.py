"""The supernet's training as an NNI one-shot strategy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.batches import Batch
from nasrec_automl.errors import DivergedError, JobError, SpaceError
from nasrec_automl.nni_plugin.filters import Filter, MadeFilter, budget_of, make_filter
from nasrec_automl.nni_plugin.nas import OneShotStrategy, RandomSamplingLightningModule
from nasrec_automl.nni_plugin.oneshot_export import best_architectures
from nasrec_automl.nni_plugin.oneshot_resume import newest_checkpoint, place_checkpoints, resume_state
from nasrec_automl.nni_plugin.space import ChoiceNetwork, NasRecSpace
from nasrec_automl.nni_plugin.supermodule import SharedNetwork, SupernetModule
from nasrec_automl.randomness import rng_for
from nasrec_automl.sampling import PATH_SAMPLERS, WarmUp, path_sampler
from nasrec_automl.sampling.full_path import full_path

_HOOKS = (
    "backward",
    "configure_callbacks",
    "lr_scheduler_step",
    "on_after_batch_transfer",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_load_checkpoint",
    "on_save_checkpoint",
    "on_validation_batch_end",
    "on_validation_batch_start",
    "on_validation_epoch_end",
    "on_validation_epoch_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "prepare_data",
    "transfer_batch_to_device",
)
"""Hooks that NNI's base class does not hand on. Not among them: `configure_model`, those that give loaders, and
`on_validation_model_*`, where Lightning does more by itself."""


class NasRecLightningModule(RandomSamplingLightningModule):
    """Sets the path of each step; everything else is done by the evaluator's own module, whose hooks it calls.

    Validation runs a fixed set of random architectures, one a batch, so that its curve compares like with like.
    """

    def __init__(
        self,
        training_module: Any,
        *,
        sampling: str,
        warm_up_steps: int,
        seed: int,
        export_candidates: int,
        export_filter: MadeFilter = None,
    ) -> None:
        super().__init__(training_module)
        self._sampling = sampling
        self._warm_up_steps = warm_up_steps
        self._seed = seed
        self._export_candidates = export_candidates
        self._export_filter = export_filter
        self._warm_up: WarmUp | None = None

    @property
    def shared(self) -> SharedNetwork:
        """The network that holds the weights."""
        return next(module for module in self.supernet_modules() if isinstance(module, SharedNetwork))

    @property
    def warm_up(self) -> WarmUp:
        """The schedule that draws the path of each step."""
        if self._warm_up is None:
            sampler = path_sampler(self._sampling, self.shared.supernet.space)
            self._warm_up = WarmUp(sampler, steps=self._warm_up_steps, seed=self._seed)
        return self._warm_up

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Train the path of this step."""
        self.shared.path = self.warm_up.path(self.global_step)
        loss: Tensor = self.training_module.training_step(batch, batch_idx)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, *args: Any, **kwargs: Any) -> Any:
        """Validate the architecture that belongs to this batch; of several loaders Lightning passes the number too."""
        self.shared.path = self._fixed_architecture(batch_idx).path
        return self.training_module.validation_step(batch, batch_idx, *args, **kwargs)

    def _fixed_architecture(self, number: int) -> Architecture:
        rng = rng_for("validated architecture", self._seed, number)
        return self.shared.supernet.space.random(rng)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Call the evaluator's own method; if the step diverged, add its path to the error."""
        try:
            self.training_module.configure_gradient_clipping(*args, **kwargs)
        except DivergedError as error:
            path, space = self.shared.path, self.shared.supernet.space
            shown = f"the full path of {space.name}" if path == full_path(space) else str(path)
            raise DivergedError(f"{error}. The step's path: {shown}") from None

    def export(self) -> dict[str, Any]:
        """Parameters of the best architecture that a short search finds, as NNI's one-shot modules export theirs."""
        return dict(next(iter(self.top(1, self.trainer.val_dataloaders))).params)

    def top(self, most: int, loaders: Any) -> dict[Architecture, float]:
        """The best architectures that a short search on validation batches finds, best first, with their log loss."""
        supernet = self.shared.supernet
        is_all = type(self.model).forward is NasRecSpace.forward
        return best_architectures(
            supernet,
            loaders,
            most=most,
            scored=self._export_candidates,
            seed=self._seed,
            budget=budget_of(self._export_filter, supernet.schema, layer_norm=supernet.layer_norm),
            around=None if is_all else self.model,
        )


def _handed_on(name: str) -> Callable[..., Any]:
    def hook(self: NasRecLightningModule, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.training_module, name)(*args, **kwargs)

    return hook


for _name in _HOOKS:
    setattr(NasRecLightningModule, _name, _handed_on(_name))


@contextmanager
def _on(device: torch.device, model: nn.Module) -> Iterator[None]:
    """Move the model to the CUDA device that trained it while the block runs: Lightning leaves it on the CPU.

    Other kinds of devices may lack float64, which the scores need.
    """
    here = next(model.parameters()).device
    model.to(device if device.type == "cuda" else here)
    try:
        yield
    finally:
        model.to(here)


class NasRecOneShot(OneShotStrategy):
    """Trains NASRec's supernet (arXiv 2207.07187) inside an NNI `NasExperiment`.

    The trainer's `ModelCheckpoint` keeps checkpoints; `experiment.resume()` goes on from the newest one, however the
    run before it ended. `export_top_models(k)` searches the trained supernet for a short while, with the weight-sharing
    evaluator on the validation rows (for a model space around a `NasRecSpace`, with the logits of that whole model: see
    `WholeModelEvaluator`).

    Whatever the `filter`, weights are trained on the whole space, unlike in NNI's RandomOneShot. So one supernet serves
    many budgets.

    Args:
        sampling: path sampler by name: `single-operator`, `single-path`, `any-path`, `full-path`.
        warm_up_steps: T, the steps over which the whole supernet is trained with falling probability.
        seed: seed of the paths and of the export's search; a step's path derives from the seed and the step's number
            alone.
        export_candidates: architectures that the search of `export_top_models` scores.
        filter: which architectures `export_top_models` may return, in NNI's form: a function of a sample, such as a
            `RangeProfilerFilter`, a dict of its arguments, or a `nasrec_automl.budget.Budget`.

    Raises:
        JobError: there is no such sampler, a number is out of its range, or `filter` is not a filter.
        TypeError, ValueError: a dict is not of `RangeProfilerFilter`'s arguments, as NNI says.
    """

    def __init__(
        self,
        *,
        sampling: str = "single-operator",
        warm_up_steps: int = 0,
        seed: int = 0,
        export_candidates: int = 64,
        filter: Filter = None,  # noqa: A002  NNI's own name
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sampling not in PATH_SAMPLERS:
            raise JobError(f"sampling: no path sampler {sampling!r}; there are {', '.join(PATH_SAMPLERS)}")
        for name, value, least in (
            ("warm_up_steps", warm_up_steps, 0),
            ("seed", seed, 0),
            ("export_candidates", export_candidates, 1),
        ):
            if value < least:
                raise JobError(f"{name} must be at least {least}, but it is {value}")
        self._begun = 0.0
        self.filter = make_filter(filter)
        self.options: dict[str, Any] = {
            "sampling": sampling,
            "warm_up_steps": warm_up_steps,
            "seed": seed,
            "export_candidates": export_candidates,
        }

    def configure_oneshot_module(self, training_module: Any) -> NasRecLightningModule:
        """Wrap the evaluator's module; NNI calls it once."""
        return NasRecLightningModule(training_module, **self.options, export_filter=self.filter)

    def list_models(self, sort: bool = True, limit: int | None = 1) -> Iterator[Any]:
        """The best architectures of a short search, with the shared weights and scores; `export_top_models` calls it.

        Args:
            sort: the best come first always, as in NNI's one-shot strategies.
            limit: how many, no two with one key; None for all that the search scored.
        """
        self.oneshot_module.set_model(self.supernet)
        most = self.options["export_candidates"] if limit is None else limit
        with _on(self._evaluator.trainer.strategy.root_device, self.supernet):
            found = self.oneshot_module.top(most, self._validation_loaders())
        for architecture, log_loss in found.items():
            model = self.model_space.freeze(dict(architecture.params))
            model.metrics.final = -log_loss  # NNI maximises
            yield model

    def _validation_loaders(self) -> Any:
        """The loaders that the evaluator was given: Lightning sets up none for a training resumed at its end."""
        evaluator = self._evaluator
        return evaluator.val_dataloaders if evaluator.datamodule is None else evaluator.datamodule.val_dataloader()

    def extra_repr(self) -> str:
        """Arguments, for NNI's logs."""
        shown = self.options if self.filter is None else {**self.options, "filter": self.filter}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    def mutate_model(self, model: Any) -> Any:
        """Make the supernet; NNI calls it once.

        Raises:
            SpaceError: the model is no `NasRecSpace` and holds none, or it has choices of its own.
        """
        spaces = [module.space for module in model.modules() if isinstance(module, ChoiceNetwork)]
        if not spaces and any(isinstance(module, SupernetModule) for module in model.modules()):
            raise SpaceError(
                f"this {type(model).__name__} is a supernet already: NNI makes it of the space that an experiment is "
                "given, so give each experiment a space of its own"
            )
        if len(spaces) != 1:
            raise SpaceError(
                f"NasRecOneShot trains a NasRecSpace, or a model space that holds one, but a {type(model).__name__} "
                f"holds {len(spaces)}"
            )
        others = sorted(set(model.simplify()) - set(spaces[0].labels))
        if others:
            raise SpaceError(
                f"NasRecOneShot trains the choices of a NasRecSpace alone, but the {type(model).__name__} around it "
                f"has choices of its own: {', '.join(others)}; give them fixed values, or take "
                "nni.nas.strategy.RandomOneShot"
            )
        if not hasattr(model, "extra_oneshot_hooks"):
            raise SpaceError(
                f"NNI asks the {type(model).__name__} how to train the NasRecSpace that it holds: give it a method "
                "`extra_oneshot_hooks(self, strategy)` that returns that of the NasRecSpace"
            )
        return super().mutate_model(model)

    # The experiment's checkpoint.

    def mutate_evaluator(self, evaluator: Any) -> Any:
        """Wrap the evaluator; NNI calls it once."""
        self._begun = time.time()
        if hasattr(evaluator, "trainer"):  # of one that has none NNI says which it wants
            place_checkpoints(evaluator.trainer)
        return super().mutate_evaluator(evaluator)

    @property
    def _evaluator(self) -> Any:
        """The wrapped evaluator, None before NNI has initialised the strategy; NNI has no public name for it."""
        return None if self._mutated_model_space is None else self._mutated_model_space.evaluator

    def state_dict(self) -> dict[str, str]:
        """The place of the checkpoints; NNI saves this state before the run and at the stop."""
        evaluator = self._evaluator
        return {} if evaluator is None else resume_state(evaluator.trainer, evaluator.fit_kwargs, self._begun)

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Go on from the newest checkpoint of the earlier run, unless the evaluator has a `ckpt_path` of its own."""
        if self._evaluator is None:
            raise RuntimeError("the strategy must be initialised before its state is loaded")
        options = self._evaluator.fit_kwargs
        newest = newest_checkpoint(state_dict)
        if newest is not None and options.get("ckpt_path") is None:
            options.update({"ckpt_path": newest, "weights_only": True})
