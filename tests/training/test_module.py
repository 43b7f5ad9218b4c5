import itertools
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, DivergedError, JobError
from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.ops.slices import slice_gradient
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space, with_weights
from nasrec_automl.training.lightning import quiet, quiet_trainer
from nasrec_automl.training.metrics import measure
from nasrec_automl.training.module import ClickModule, TrainingOptions
from nasrec_automl.training.optimizer import RowAdagrad
from nasrec_automl.training.ranks import SparseDDP
from nasrec_automl.training.seed import seeded

SCHEMA, SPACE = tiny_schema(), tiny_space()
ROWS = make_rows(SCHEMA, 512)


class Constant(nn.Module):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return dense[:, 0] + self.bias.sum()


def fit(module: ClickModule, steps: int, **options: object) -> object:
    trainer = quiet_trainer(max_steps=steps, device="cpu", callbacks=[], **options)
    with quiet():
        trainer.fit(module, TrainingBatches(ROWS, 64, 0, steps), EvaluationBatches(ROWS, 200))
    return trainer


def subnet_module(seed: int = 0, dropout: float = 0.0, **options: object) -> ClickModule:
    torch.manual_seed(0)
    subnet = Subnet(SPACE.random(np.random.default_rng(0)), SCHEMA, dropout=dropout)
    return ClickModule(TrainingOptions(**{"steps": 20, "learning_rate": 0.1, "seed": seed, **options}), subnet)


def step(weight: torch.Tensor | None) -> float:
    module = ClickModule(TrainingOptions(steps=1, learning_rate=0.1), Constant())
    module.trainer = quiet_trainer(max_steps=1, device="cpu", callbacks=[])
    dense, ids = torch.tensor([[1.0], [-2.0], [0.5]]), torch.zeros(3, 1, dtype=torch.long)
    batch = (dense, ids, torch.tensor([1.0, 0.0, 0.0]), *([] if weight is None else [weight]))
    return module.training_step(batch, 0).item()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("steps", 0, "at least 1"),
        ("learning_rate", -0.1, "a finite number above 0"),
        ("learning_rate", np.nan, "a finite number above 0"),
        ("learning_rate", np.inf, "a finite number above 0"),
        ("clip_norm", -1.0, "a finite number above 0"),
        ("eps", 0.0, "a finite number above 0"),
        ("weight_decay", -0.1, "a finite number of at least 0"),
        ("weight_decay", np.nan, "a finite number of at least 0"),
        ("embedding_decay", np.inf, "a finite number of at least 0"),
        ("seed", -1, "a finite number of at least 0"),
        ("schedule_warm_up", 1.1, "within 0 to 1"),
    ],
)
def test_options_have_their_ranges(name: str, value: float, rule: str) -> None:
    with pytest.raises(JobError, match=f"^{name} must be {rule}, but it is {value}$"):
        TrainingOptions(**{"steps": 20, "learning_rate": 0.1, name: value})
    TrainingOptions(steps=1, learning_rate=0.1, schedule_warm_up=1.0)


def test_the_loss_is_binary_cross_entropy() -> None:
    logits = torch.tensor([1.5, -1.5, 1.0])
    losses = F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0, 0.0]), reduction="none")
    assert step(None) == pytest.approx(losses.mean().item())
    weight = torch.tensor([1.0, 2.0, 5.0])
    assert step(weight) == pytest.approx((losses * weight).mean().item())
    assert step(torch.ones(3)) == pytest.approx(step(None))


def test_the_loss_of_each_step_goes_to_a_logger(tmp_path: Path) -> None:
    trainer = pl.Trainer(max_steps=3, logger=CSVLogger(tmp_path), log_every_n_steps=1, accelerator="cpu")
    with quiet():
        trainer.fit(subnet_module(), TrainingBatches(ROWS, 64, 0, 3))
    lines = next(tmp_path.rglob("metrics.csv")).read_text().splitlines()
    assert "train_log_loss" in lines[0]
    assert len(lines) > 3
    assert "train_log_loss" not in fit(subnet_module(), 3).callback_metrics


def test_training_lowers_the_loss_and_validation_measures_all_rows() -> None:
    module = subnet_module(steps=60)
    before = measure(module(*ROWS.batch(slice(0, 512))[:2]).detach(), ROWS.batch(slice(0, 512))[2])
    fit(module, 60)
    assert module.metrics is not None
    assert module.metrics.rows == 512
    assert module.metrics.log_loss < before.log_loss - 0.05
    assert module.metrics.auc > 0.7
    module.eval()
    dense, ids, label = ROWS.batch(slice(0, 512))
    with torch.no_grad():
        again = measure(module(dense, ids), label)
    assert again.log_loss == pytest.approx(module.metrics.log_loss, rel=1e-5)


def test_a_validation_counts_rows_by_their_weights() -> None:
    module, rows = subnet_module(), with_weights(ROWS)
    with quiet():
        quiet_trainer(max_steps=4, device="cpu", callbacks=[]).fit(
            module, TrainingBatches(rows, 64, 0, 4), EvaluationBatches(rows, 5)
        )  # some validation batches have rows of weight 0 alone
    assert module.metrics is not None
    module.eval()
    dense, ids, label, weight = rows.batch(slice(0, 512))
    with torch.no_grad():
        again = measure(module(dense, ids), label, weight)
    assert module.metrics.log_loss == pytest.approx(again.log_loss, rel=1e-5)
    assert module.metrics.auc == pytest.approx(again.auc, abs=1e-4)
    assert (again.rows, module.metrics.rows) == (512, 512)


def test_validation_batches_with_and_without_weights_are_not_mixed() -> None:
    module = subnet_module()
    for rows in (ROWS, with_weights(ROWS)):
        module.validation_step(rows.batch(slice(0, 64)), 0)
    with pytest.raises(DataError, match="give all of them weights or none"):
        module.measured()


def test_each_validation_forgets_the_one_before() -> None:
    module = subnet_module()
    fit(module, 20, val_check_interval=5)
    assert module.metrics is not None
    assert module.metrics.rows == 512


def test_the_optimiser_is_adagrad_with_its_schedule() -> None:
    module = subnet_module(learning_rate=0.3, weight_decay=0.01, embedding_decay=0.02, eps=1e-3)
    made = module.configure_optimizers()
    optimizer = made["optimizer"]
    assert isinstance(optimizer, RowAdagrad)
    group = optimizer.param_groups[0]
    assert (group["weight_decay"], group["embedding_decay"]) == (0.01, 0.02)
    assert (group["eps"], group["initial_lr"]) == (1e-3, 0.3)
    assert made["lr_scheduler"]["interval"] == "step"
    assert group["lr"] == pytest.approx(0.3 / 2), "the first of two warm-up steps"


def test_the_schedule_moves_with_every_step() -> None:
    module = subnet_module(steps=20)
    trainer = fit(module, 10)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * 8 / 18)))


def test_steps_after_the_end_of_the_schedule_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    fit(subnet_module(steps=10), 10)
    assert not caplog.text
    fit(subnet_module(steps=7), 10)
    assert caplog.text.count("the schedule has ended after 7 steps: the learning rate stays 0") == 1


def test_gradients_are_clipped_together() -> None:
    module = subnet_module(clip_norm=1e-3)
    dense, ids, label = ROWS.batch(slice(0, 64))
    F.binary_cross_entropy_with_logits(module(dense, ids), label).mul(100).backward()
    module.configure_gradient_clipping(module.configure_optimizers()["optimizer"])
    gradients = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in module.parameters()]
    assert torch.cat([g.flatten() for g in gradients]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_gradients_of_what_the_optimiser_does_not_move_are_none_of_its_business() -> None:
    """NNI's differentiable strategies keep architecture parameters in the module, with an optimiser of their own."""
    module = subnet_module(clip_norm=5.0)
    optimizer = module.configure_optimizers()["optimizer"]
    module.register_parameter("alpha", nn.Parameter(torch.zeros(3)))
    dense, ids, label = ROWS.batch(slice(0, 64))
    F.binary_cross_entropy_with_logits(module(dense, ids), label).backward()
    module.alpha.grad = torch.full((3,), 1e6)
    before = module.model.head.bias.grad.clone()
    module.configure_gradient_clipping(optimizer)
    assert module.model.head.bias.grad.equal(before)
    assert module.alpha.grad.equal(torch.full((3,), 1e6))


def test_lightning_clips_before_the_step() -> None:
    clipped, free = subnet_module(clip_norm=1e-6, eps=1e-2), subnet_module(clip_norm=1e6, eps=1e-2)
    fit(clipped, 1)
    fit(free, 1)
    # Adagrad's first step of a gradient far below eps is hardly one.
    start = dict(subnet_module().named_parameters())
    moved = [max((p - start[n]).abs().max().item() for n, p in m.named_parameters()) for m in (clipped, free)]
    assert moved[0] < 1e-4 < 1e-2 < moved[1]


def test_dropout_is_a_function_of_seed_and_step() -> None:
    def weights(seed: int, disturb: int) -> torch.Tensor:
        module = subnet_module(seed=seed, dropout=0.5)
        torch.manual_seed(disturb)
        fit(module, 5)
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    assert torch.equal(weights(1, disturb=10), weights(1, disturb=11))
    assert not torch.equal(weights(1, disturb=10), weights(2, disturb=10))


@pytest.mark.parametrize("together", [1, 2])
def test_every_batch_has_masks_of_its_own(together: int) -> None:
    class Dropped(Constant):
        def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            masks.append(F.dropout(torch.ones(64), training=self.training))
            return super().forward(dense, ids)

    masks: list[torch.Tensor] = []
    module = ClickModule(TrainingOptions(steps=4, learning_rate=0.1, seed=5), Dropped())
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[], accumulate_grad_batches=together)
    with quiet():
        trainer.fit(module, TrainingBatches(ROWS, 64, 0, 4))
    assert (trainer.global_step, len(masks)) == (4 // together, 4)
    assert not any(a.equal(b) for a, b in itertools.combinations(masks, 2))
    for number, mask in enumerate(masks):
        entropy = (number,) if together == 1 else divmod(number, together)
        with seeded(5, *entropy):
            assert F.dropout(torch.ones(64)).equal(mask)


class OneArchitecture(nn.Module):
    """A supernet that runs the same architecture at every step: many of its weights are used in part."""

    def __init__(self) -> None:
        super().__init__()
        self.supernet = Supernet(SPACE, SCHEMA)

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.supernet(dense, ids, SPACE.random(np.random.default_rng(0)))


@pytest.mark.parametrize("breaks", [False, True])
def test_another_optimiser_sees_all_gradients_after_a_training(breaks: bool) -> None:
    class Breaks(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, *args: object) -> None:
            if breaks and trainer.global_step == 2:
                raise RuntimeError("power cut")

    network = OneArchitecture()
    module = ClickModule(TrainingOptions(steps=4, learning_rate=0.1), network)
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[Breaks()])
    with quiet(), pytest.raises(RuntimeError, match="power cut") if breaks else nullcontext():
        trainer.fit(module, TrainingBatches(ROWS, 64, 0, 4))
    assert all(slice_gradient(parameter) is None for parameter in network.parameters())
    dense, ids, label = ROWS.batch(slice(0, 64))

    def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
        network.zero_grad()
        F.binary_cross_entropy_with_logits(network(dense, ids), label).backward()
        found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        return {name: g.to_dense() if g.is_sparse else g for name, g in found.items()}

    fresh = OneArchitecture()
    fresh.load_state_dict(network.state_dict())
    torch.testing.assert_close(gradients(network), gradients(fresh))


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "bf16-true"])
def test_what_spoils_small_numbers_is_refused(precision: str) -> None:
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[])
    trainer.strategy.precision_plugin.precision = precision  # the plugin of float16 itself wants a GPU
    with quiet(), pytest.raises(JobError, match=f"precision: .* but it is '{precision}': set 'bf16-mixed'"):
        trainer.fit(subnet_module(), TrainingBatches(ROWS, 64, 0, 4))


def own_trainer(**options: Any) -> pl.Trainer:
    """A trainer as a user of Lightning makes it."""
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return pl.Trainer(max_steps=4, accelerator="cpu", num_sanity_val_steps=0, **off, **options)


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_precisions_that_train(precision: Any, optimizer: str) -> None:
    module = subnet_module(optimizer=optimizer, learning_rate=0.01)
    with quiet():
        own_trainer(precision=precision).fit(module, TrainingBatches(ROWS, 64, 0, 4), EvaluationBatches(ROWS, 200))
    assert module.metrics is not None
    assert module.metrics.log_loss < 1
    kinds = {parameter.dtype for parameter in module.parameters()}
    assert kinds == {torch.float64 if precision == "64-true" else torch.float32}


def test_a_trainer_that_is_told_to_clip_is_refused() -> None:
    with quiet(), pytest.raises(JobError, match=r"gradient_clip_val is 0\.5, .* set TrainingOptions\.clip_norm"):
        own_trainer(gradient_clip_val=0.5).fit(subnet_module(), TrainingBatches(ROWS, 64, 0, 4))


def test_a_validation_without_a_batch_is_said() -> None:
    class Nothing(IterableDataset):
        def __iter__(self) -> Iterator[object]:
            return iter(())

    with quiet(), pytest.raises(DataError, match=r"^validation after 4 steps: the loader gave no batch"):
        own_trainer().fit(subnet_module(), TrainingBatches(ROWS, 64, 0, 4), DataLoader(Nothing(), batch_size=None))


def changed(rows: Rows, name: str, row: int, value: float) -> Rows:
    array = getattr(rows, name).astype(np.float32 if name == "label" else getattr(rows, name).dtype)
    array[(row, 1) if array.ndim == 2 else row] = value
    return replace(rows, **{name: array})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dense", np.nan, "feature 'dense2': row 3 holds nan"),
        ("ids", 5, "field 'field2': row 3 holds 5, but the field's table has 5 rows"),
        ("label", 2, "label: row 3 holds 2.0"),
    ],
)
def test_a_bad_batch_stops_training_and_validation(name: str, value: float, message: str) -> None:
    trainer = quiet_trainer(max_steps=8, device="cpu", callbacks=[])
    bad = EvaluationBatches(changed(ROWS, name, 64 * 5 + 3, value), 64)
    with quiet(), pytest.raises(DataError, match=f"^training batch after 5 steps: .*{re.escape(message)}"):
        trainer.fit(subnet_module(), bad)
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[])
    with quiet(), pytest.raises(DataError, match=f"^validation batch after 4 steps: .*{re.escape(message)}"):
        trainer.fit(subnet_module(), TrainingBatches(ROWS, 64, 0, 4), bad)


class Poisoned(nn.Module):
    """Its gradient, or its loss, becomes infinite or NaN from one step on."""

    def __init__(self, good_steps: int, *, loss: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.left = good_steps
        self.loss = loss

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        logits = dense[:, 0] * self.weight
        if self.left >= 0:
            return logits
        # The square root's slope at 0 is infinite; a detached NaN has none.
        return logits + (torch.full((), torch.nan) if self.loss else (self.weight - self.weight.detach()).abs().sqrt())


@pytest.mark.parametrize("loss", [True, False])
def test_a_step_that_is_not_finite_is_not_applied_and_stops_the_training(loss: bool, tmp_path: Path) -> None:
    seen: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, module: ClickModule, *args: object) -> None:
            seen.append(module.model.weight.item())

    module = ClickModule(TrainingOptions(steps=20, learning_rate=0.1), Poisoned(3, loss=loss))
    keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=1)
    trainer = quiet_trainer(max_steps=20, device="cpu", callbacks=[Watch(), keep])
    with quiet(), pytest.raises(DivergedError, match=r"^step 4 of 20: the loss is .* rate 0\.0992; .* not applied\."):
        trainer.fit(module, TrainingBatches(ROWS, 64, 0, 20))
    assert len(seen) == 3
    assert module.model.weight.item() == seen[-1]
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3
    assert kept["state_dict"]["model.weight"].item() == seen[-1]


def test_a_validation_that_is_not_finite_stops_the_training() -> None:
    module = ClickModule(TrainingOptions(steps=4, learning_rate=0.1), Poisoned(4, loss=True))
    with pytest.raises(DivergedError, match=r"^validation after 4 steps: the log loss is nan"):
        fit(module, 4)


def test_a_checkpoint_never_holds_weights_that_are_not_finite(tmp_path: Path) -> None:
    class Spoil(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, module: ClickModule, *args: object) -> None:
            with torch.no_grad():
                module.model.weight.fill_(torch.inf)

    module = ClickModule(TrainingOptions(steps=4, learning_rate=0.1), Poisoned(4, loss=True))
    keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1)
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[Spoil(), keep])
    with quiet(), pytest.raises(DivergedError, match=r"the weights model\.weight are no longer finite"):
        trainer.fit(module, TrainingBatches(ROWS, 64, 0, 4))
    assert not list(tmp_path.iterdir())


class Sampled(nn.Module):
    """A supernet on one path."""

    def __init__(self) -> None:
        super().__init__()
        self.supernet = Supernet(SPACE, SCHEMA)

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.supernet(dense, ids, SPACE.random(np.random.default_rng(0)))


def test_a_supernet_in_several_processes_of_a_trainer_of_ones_own_is_refused() -> None:
    module = ClickModule(TrainingOptions(steps=4, learning_rate=0.1), Sampled())
    module.trainer = SimpleNamespace(precision="32-true", world_size=2, strategy=DDPStrategy())
    with pytest.raises(JobError, match=r"^2 processes: .* train it in one process \(devices=1\), or by a job"):
        module.on_fit_start()
    module.trainer.strategy = SparseDDP()
    module.on_fit_start()
    module.trainer = SimpleNamespace(precision="32-true", world_size=1, strategy=SingleDeviceStrategy())
    module.on_fit_start()
    alone = subnet_module()
    alone.trainer = SimpleNamespace(precision="32-true", world_size=2, strategy=DDPStrategy())
    alone.on_fit_start()


def test_dense_gradients_of_embeddings_are_refused() -> None:
    module = subnet_module()
    embedding = next(one for one in module.modules() if isinstance(one, Embedding))
    embedding.sparse_gradients = False
    with quiet(), pytest.raises(JobError, match=r"^sparse_gradients is off, .* or train with a Lightning module of"):
        own_trainer().fit(module, TrainingBatches(ROWS, 64, 0, 4))
