"""What scratch trainings and the supernet keep; their own tests see that broken ones go on from it."""

from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from nasrec_automl.training.keep_best import Checkpoints, KeepBest
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.module import ClickModule, TrainingOptions


class Alone:
    """A single process."""

    def reduce_boolean_decision(self, decision: bool, **_: bool) -> bool:
        return decision


class Trainer:
    """What the callbacks see of a trainer."""

    max_steps = 100
    is_global_zero = True
    strategy = Alone()

    def __init__(self) -> None:
        self.global_step = 0
        self.should_stop = False

    def save_checkpoint(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(self.global_step))


def validate(keeper: KeepBest, losses: list[float], trainer: Trainer | None = None) -> tuple[ClickModule, Trainer]:
    """Validations of a training whose weight is the number of the step."""
    module, trainer = ClickModule(TrainingOptions(steps=9, learning_rate=1.0), nn.Linear(1, 1)), trainer or Trainer()
    own = cast(pl.Trainer, trainer)
    keeper.on_fit_start(own, module)
    keeper.on_train_start(own, module)
    for loss in losses:
        trainer.global_step += 1
        with torch.no_grad():
            module.model.weight.fill_(trainer.global_step)
        module.metrics = Metrics(log_loss=loss, auc=0.5, standard_error=0.0, rows=1)
        keeper.on_validation_end(own, module)
    return module, trainer


def test_the_best_weights_come_back() -> None:
    keeper = KeepBest(0)
    module, trainer = validate(keeper, [3.0, 1.0, 2.0, 1.0])
    keeper.restore()
    assert module.model.weight.item() == keeper.best_step == 2
    assert keeper.best is not None
    assert keeper.best.log_loss == 1.0
    assert not trainer.should_stop


def test_without_a_validation_weights_stay() -> None:
    keeper = KeepBest(1)
    module, _ = validate(keeper, [])
    before = module.model.weight.clone()
    keeper.restore()
    assert torch.equal(module.model.weight, before)


@pytest.mark.parametrize(("losses", "stops"), [([2.0, 1.0, 3.0], False), ([2.0, 1.0, 3.0, 3.0], True)])
def test_patience(losses: list[float], stops: bool) -> None:
    keeper = KeepBest(2)
    assert validate(keeper, losses)[1].should_stop == stops
    assert not keeper.stopped


def test_whoever_hears_of_validations_stops_it_and_hears_again_what_was_before() -> None:
    heard: list[int] = []
    keeper = KeepBest(0, lambda step, metrics: heard.append(step) or metrics.log_loss > 2)
    _, trainer = validate(keeper, [1.0, 3.0])
    assert trainer.should_stop
    assert keeper.stopped
    state: dict[str, Any] = keeper.state_dict()
    again = KeepBest(0, keeper.on_validation)
    again.load_state_dict(state)
    assert (again.best, again.best_step) == (keeper.best, 1)
    validate(again, [0.5], trainer)
    assert heard == [1, 2, 1, 2, 3]
    assert again.best_step == 3


def test_checkpoints_are_whole_and_none_is_written_at_the_end(tmp_path: Path) -> None:
    path, trainer = tmp_path / "folder" / "a.ckpt", Trainer()
    module, own = ClickModule(TrainingOptions(steps=9, learning_rate=1.0), nn.Linear(1, 1)), cast(pl.Trainer, trainer)
    for step, written in ((7, "7"), (8, "8"), (100, "8")):
        trainer.global_step = step
        Checkpoints(path).on_validation_end(own, module)
        assert path.read_text() == written
    trainer.global_step, trainer.should_stop = 9, True
    Checkpoints(path).on_validation_end(own, module)
    assert path.read_text() == "8"
    assert [each.name for each in path.parent.iterdir()] == ["a.ckpt"]


def test_a_better_one_takes_the_memory_of_the_one_before() -> None:
    keeper = KeepBest(0)
    validate(keeper, [3.0])
    kept = keeper.state_dict()["best_weights"]["weight"]
    assert kept.item() == 1
    module, _ = validate(keeper, [2.0], trainer := Trainer())
    assert keeper.state_dict()["best_weights"]["weight"].data_ptr() == kept.data_ptr()
    trainer.global_step = 7
    validate(keeper, [1.0], trainer)
    assert kept.item() == 8
    assert kept.data_ptr() != module.model.weight.data_ptr()
