import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.network import Subnet
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.training.lightning import quiet, quiet_trainer
from nasrec_automl.training.metrics import measure
from nasrec_automl.training.module import ClickModule, TrainingOptions
from nasrec_automl.training.optimizer import RowAdagrad

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
    module.log = lambda *args, **kwargs: None
    dense, ids = torch.tensor([[1.0], [-2.0], [0.5]]), torch.zeros(3, 1, dtype=torch.long)
    batch = (dense, ids, torch.tensor([1.0, 0.0, 0.0]), *([] if weight is None else [weight]))
    return module.training_step(batch, 0).item()


def test_the_loss_is_binary_cross_entropy() -> None:
    logits = torch.tensor([1.5, -1.5, 1.0])
    losses = F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0, 0.0]), reduction="none")
    assert step(None) == pytest.approx(losses.mean().item())
    weight = torch.tensor([1.0, 2.0, 5.0])
    assert step(weight) == pytest.approx(((losses * weight).sum() / 8).item())
    assert step(torch.ones(3)) == pytest.approx(step(None))


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


def test_each_validation_forgets_the_one_before() -> None:
    module = subnet_module()
    fit(module, 20, val_check_interval=5)
    assert module.metrics is not None
    assert module.metrics.rows == 512


def test_the_optimiser_is_adagrad_with_its_schedule() -> None:
    module = subnet_module(learning_rate=0.3, weight_decay=0.01, eps=1e-3)
    made = module.configure_optimizers()
    optimizer = made["optimizer"]
    assert isinstance(optimizer, RowAdagrad)
    group = optimizer.param_groups[0]
    assert (group["weight_decay"], group["eps"], group["initial_lr"]) == (0.01, 1e-3, 0.3)
    assert made["lr_scheduler"]["interval"] == "step"
    assert group["lr"] == pytest.approx(0.3 / 2), "the first of two warm-up steps"


def test_the_schedule_moves_with_every_step() -> None:
    module = subnet_module(steps=20)
    trainer = fit(module, 10)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * 8 / 18)))


def test_gradients_are_clipped_together() -> None:
    module = subnet_module(clip_norm=1e-3)
    dense, ids, label = ROWS.batch(slice(0, 64))
    F.binary_cross_entropy_with_logits(module(dense, ids), label).mul(100).backward()
    module.configure_gradient_clipping(None)
    gradients = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in module.parameters()]
    assert torch.cat([g.flatten() for g in gradients]).norm().item() == pytest.approx(1e-3, rel=1e-3)


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
