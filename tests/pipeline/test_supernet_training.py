"""How the supernet of a run is trained."""

import math
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest
import pytorch_lightning as pl

from nasrec_automl import nni_plugin
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.nni_plugin import ClickEvaluatorModule
from nasrec_automl.pipeline import supernet_training
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.pipeline.supernet_training import _validation_batch, training_steps
from nasrec_automl.training.keep_best import KeepBest
from nasrec_automl.training.module import TrainingOptions
from tests.pipeline.supernets import make, poisoned_step


def test_the_training_is_told_all_that_the_job_says_of_it(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[TrainingOptions] = []
    monkeypatch.setattr(
        nni_plugin, "ClickEvaluatorModule", lambda options: told.append(options) or ClickEvaluatorModule(options)
    )
    own = {
        "learning_rate": 0.0789,
        "schedule_warm_up": 0.345,
        "weight_decay": 0.0123,
        "clip_norm": 0.234,
        "eps": 0.0456,
    }
    run = make(tmp_path, prepared, **own)
    SupernetStage().run(run)
    found = asdict(told[0])
    assert {name: found[name] for name in own} == own
    assert (found["steps"], found["seed"]) == (training_steps(run), 3)


def test_an_epoch_of_fewer_rows_than_a_batch_is_one_step(tmp_path: Path, prepared: Path) -> None:
    rows = PreparedData.open(prepared).rows(Part.TRAIN)
    assert training_steps(make(tmp_path, prepared, epochs=7, batch_size=rows + 1)) == 7


@pytest.mark.parametrize(("rows", "architectures"), [(320, 20), (5_000, 65), (65_536, 64), (200_000, 64)])
def test_many_architectures_say_which_weights_are_best(rows: int, architectures: int) -> None:
    validated = min(rows, 65_536)
    assert math.ceil(validated / _validation_batch(validated)) == architectures


@pytest.mark.parametrize("diverges", [False, True])
def test_what_optimizer_and_best_weights_held_is_let_go_of(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, diverges: bool
) -> None:
    """NNI holds on to the trainer for as long as the process lives, and to one that diverged too."""
    make_trainer, made, keepers = supernet_training._nni_trainer, list[pl.Trainer](), list[KeepBest]()

    def watched(*, callbacks: list[pl.Callback], **options: object) -> pl.Trainer:
        keepers.extend(one for one in callbacks if isinstance(one, KeepBest))
        made.append(make_trainer(callbacks=callbacks, **options))
        return made[-1]

    monkeypatch.setattr(supernet_training, "_nni_trainer", watched)
    run = make(tmp_path, prepared, epochs=2, patience=9, validations=4)
    ended = pytest.raises(DivergedError) if diverges else nullcontext()
    with poisoned_step(training_steps(run)) if diverges else nullcontext(), ended:
        SupernetStage().run(run)
    (trainer,), (keeper,) = made, keepers
    assert keeper.best is not None, "or there was nothing to let go of"
    assert keeper.state_dict()["best_weights"] is None
    assert trainer.optimizers
    assert not any(optimizer.state for optimizer in trainer.optimizers)
