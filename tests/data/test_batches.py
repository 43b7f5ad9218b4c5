from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint

from nasrec_automl.data.batches import Batch, EvaluationBatches, TrainingBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError


def make(n: int) -> Rows:
    """Rows that carry their own number."""
    number = np.arange(n)
    return Rows(number[:, None].astype(np.float32), number[:, None], (number % 2).astype(np.uint8))


def numbers(batch: Batch) -> list[int]:
    return [int(i) for i in batch[1][:, 0]]


@settings(deadline=None, max_examples=100)
@given(n=st.integers(1, 40), size=st.integers(1, 50), steps=st.integers(1, 30), data=st.data())
def test_a_resumed_iteration_goes_on_as_the_unbroken_one(n: int, size: int, steps: int, data: st.DataObject) -> None:
    unbroken = [numbers(batch) for batch in TrainingBatches(make(n), size, 7, steps)]
    assert len(unbroken) == steps
    broken = TrainingBatches(make(n), size, 7, steps)
    stop = data.draw(st.integers(1, steps))
    for _ in zip(range(stop), broken, strict=False):
        pass
    assert broken.state_dict() == {"step": stop}
    resumed = TrainingBatches(make(n), size, 7, steps)
    resumed.load_state_dict(broken.state_dict())
    assert [numbers(batch) for batch in resumed] == unbroken[stop % steps :]
    # The loaded step is used once; the next iteration is whole.
    assert [numbers(batch) for batch in resumed] == unbroken
    at = data.draw(st.integers(0, steps - 1))
    assert numbers(resumed.batch(at)) == unbroken[at]


def test_an_epoch_holds_each_row_once_and_epochs_differ() -> None:
    batches = TrainingBatches(make(10), 5, seed=1, steps=4)
    assert batches.steps_per_epoch == 2
    seen = [numbers(batch) for batch in batches]
    assert sorted(seen[0] + seen[1]) == list(range(10))
    assert sorted(seen[2] + seen[3]) == list(range(10))
    assert seen[:2] != seen[2:]


def test_every_step_has_equally_many_rows() -> None:
    assert {len(batch[2]) for batch in TrainingBatches(make(11), 4, seed=1, steps=9)} == {4}
    assert {len(batch[2]) for batch in TrainingBatches(make(3), 4, seed=1, steps=2)} == {3}


def test_over_an_epoch_a_row_counts_as_it_weighs() -> None:
    weight = np.array([97.0, 1, 1, 1, 0, 0, 0, 0])
    counted = np.zeros(8)
    for batch in TrainingBatches(replace(make(8), weight=weight), 2, seed=1, steps=4):
        counted[numbers(batch)] += batch[3].numpy()
    np.testing.assert_allclose(counted, weight / weight.mean())


def test_the_seed_decides_the_order() -> None:
    first, again, other = (numbers(TrainingBatches(make(50), 50, seed, 1).batch(0)) for seed in (1, 1, 2))
    assert first == again != other


def test_columns_of_a_row_stay_together() -> None:
    dense, ids, label = TrainingBatches(make(20), 8, seed=3, steps=1).batch(0)
    assert torch.equal(dense[:, 0].long(), ids[:, 0])
    assert torch.equal(label.long(), ids[:, 0] % 2)


@given(n=st.integers(3, 40), size=st.integers(3, 50), ranks=st.integers(1, 3))
def test_processes_share_each_batch(n: int, size: int, ranks: int) -> None:
    whole = TrainingBatches(make(n), size, 7, 9)
    parts = [TrainingBatches(make(n), size, 7, 9, rank=rank, ranks=ranks) for rank in range(ranks)]
    for together, *pieces in zip(whole, *parts, strict=True):
        held = [numbers(piece) for piece in pieces]
        assert sorted(number for piece in held for number in piece) == sorted(numbers(together))
        assert max(map(len, held)) - min(map(len, held)) <= 1


def test_a_batch_must_have_a_row_for_each_process() -> None:
    with pytest.raises(DataError, match="3 processes cannot share a batch of 2 rows"):
        TrainingBatches(make(10), 2, 7, 1, rank=0, ranks=3)


class Recorder(pl.LightningModule):
    """Notes the rows that Lightning gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch, step: int) -> torch.Tensor:
        self.seen.append(numbers(batch))
        return self.weight * batch[0].sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_goes_on_where_its_checkpoint_was_written(tmp_path: Path) -> None:
    def fit(checkpoint: Path | None = None) -> list[list[int]]:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            callbacks=[saver],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Recorder()
        trainer.fit(model, TrainingBatches(make(12), 4, seed=5, steps=7), ckpt_path=checkpoint)
        return model.seen

    unbroken = fit()
    assert len(unbroken) == 14
    for step in (3, 7, 9):
        checkpoint = tmp_path / f"step={step}.ckpt"
        assert fit(checkpoint=checkpoint) == unbroken[step:]


@pytest.mark.parametrize("step", [-1, 11])
def test_a_state_of_another_training_is_refused(step: int) -> None:
    with pytest.raises(DataError, match=f"step {step} of 10"):
        TrainingBatches(make(5), 2, 0, 10).load_state_dict({"step": step})


def test_evaluation_reads_all_rows_in_order_again_and_again() -> None:
    batches = EvaluationBatches(make(7), 3)
    for _ in range(2):
        assert [numbers(batch) for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(batches) == 3


def test_sizes_are_checked() -> None:
    for make_batches in (
        lambda n, size: TrainingBatches(make(n), size, 0, 1),
        lambda n, size: EvaluationBatches(make(n), size),
    ):
        with pytest.raises(DataError, match="at least one row"):
            make_batches(0, 4)
        with pytest.raises(DataError, match="batch size must be at least 1, but is 0"):
            make_batches(4, 0)
    with pytest.raises(DataError, match="steps must be at least 1"):
        TrainingBatches(make(4), 2, 0, 0)
