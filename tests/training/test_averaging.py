from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from nasrec_automl.training.averaging import AverageWeights
from nasrec_automl.training.lightning import quiet, quiet_trainer
from tests.benchmarks.memory import growth


class Walk(pl.LightningModule):
    """One weight, which a step moves by 1; it is there under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1, bias=False)
        self.again = self.model
        nn.init.zeros_(self.model.weight)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return -self.model.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(self.model.weight.item())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.model.parameters(), lr=1.0)


class Weights(pl.Callback):
    def __init__(self) -> None:
        self.at_end: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.at_end.append(pl_module.model.weight.item())


def averages(weights: list[float]) -> list[float]:
    """The definition: each weight comes in with 9 / (t + 8)."""
    found = [weights[0]]
    for t, weight in enumerate(weights[1:], 2):
        share = 9 / (t + 8)
        found.append((1 - share) * found[-1] + share * weight)
    return found


def train(steps: int, average: AverageWeights, *, more: list[pl.Callback] | None = None, **options: Any) -> Walk:
    module, before = Walk(), Weights()
    batches = torch.utils.data.DataLoader(range(steps), batch_size=1)
    trainer = quiet_trainer(
        max_steps=steps, device="cpu", callbacks=[before, average, *(more or [])], val_check_interval=5
    )
    with quiet():
        trainer.fit(module, batches, torch.utils.data.DataLoader(range(1)), **options)
    assert before.at_end == module.seen
    return module


def test_validation_and_the_end_see_the_average_and_the_training_its_own_weights() -> None:
    after = Weights()
    module = train(20, AverageWeights(20, 5), more=[after])
    expected = averages([float(step) for step in range(1, 21)])
    assert module.seen == pytest.approx([expected[step - 1] for step in (5, 10, 15, 20)])
    assert after.at_end == [5, 10, 15, 20]
    assert module.model.weight.item() == pytest.approx(expected[-1])


def test_a_long_training_is_averaged_a_thousand_times() -> None:
    average = AverageWeights(7_999, 1_000)
    assert average.every == 7
    module = train(20, average)
    expected = averages([7.0, 14.0])
    assert module.seen == pytest.approx([5.0, *(expected[0],), expected[1], expected[1]])


def test_no_two_validations_measure_the_same_average() -> None:
    module = train(20, AverageWeights(7_999, 5))
    assert module.seen == pytest.approx(averages([5.0, 10.0, 15.0, 20.0]))


def test_a_broken_training_goes_on_with_its_average(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "a.ckpt")
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(20, AverageWeights(20, 5), more=[Stop()])
    module = train(20, AverageWeights(20, 5), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    expected = averages([float(step) for step in range(1, 21)])
    assert module.seen == pytest.approx([expected[step - 1] for step in (10, 15, 20)])
    assert module.model.weight.item() == pytest.approx(expected[-1])


def test_weights_and_average_change_places_without_a_copy_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.training.averaging._ROWS", 1000)
    average, trainer, module = AverageWeights(1, 1), Mock(global_step=1), pl.LightningModule()
    module.table = nn.Parameter(torch.rand(20_003, 4))
    module.turned = nn.Parameter(torch.rand(4, 2003).T)
    module.register_buffer("scale", torch.tensor(3.0))
    weights = [tensor.detach() for tensor in (module.table, module.turned, module.scale)]
    before = [tensor.clone() for tensor in weights]
    average.on_fit_start(trainer, module)
    average.on_train_batch_end(trainer)
    for tensor in weights:
        tensor += 1
    after = [tensor.clone() for tensor in weights]
    assert growth(lambda: average.on_validation_start(trainer, module)) < module.table.nbytes / 8
    assert all(map(torch.equal, weights, before))
    average.on_validation_end(trainer, module)
    assert all(map(torch.equal, weights, after))
