import gc
import pickle
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from nasrec_automl.errors import CheckpointError, DivergedError, JobError
from nasrec_automl.evaluation.scratch import (
    ScratchOptions,
    Trained,
    measure_subnet,
    predict_logits,
    train_from_scratch,
    train_network,
)
from nasrec_automl.network import Subnet
from nasrec_automl.testing.examples import make_rows, repeated, tiny_schema, tiny_space, with_weights
from nasrec_automl.training.keep_best import KeepBest, OnValidation
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.module import ClickModule

SCHEMA = tiny_schema()
ARCHITECTURE = tiny_space().random(np.random.default_rng(0))
TRAIN, VALIDATION = make_rows(SCHEMA, 800, seed=1), make_rows(SCHEMA, 300, seed=2)
OPTIONS = ScratchOptions(
    batch_size=50,
    learning_rate=0.1,
    weight_decay=1e-4,
    dropout=0.2,
    layer_norm=True,
    clip_norm=5.0,
    eps=1e-2,
    seed=3,
    steps=48,
    validate_every=8,
)


def train(
    options: ScratchOptions = OPTIONS,
    *,
    on_validation: OnValidation | None = None,
    checkpoint: Path | None = None,
    **changes: Any,
) -> Trained:
    """With some of the options changed."""
    own = replace(options, **changes)
    return train_from_scratch(
        ARCHITECTURE, SCHEMA, TRAIN, VALIDATION, own, on_validation=on_validation, checkpoint=checkpoint
    )


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.subnet.parameters()])


def measured_weights(options: ScratchOptions = OPTIONS, **changes: Any) -> list[torch.Tensor]:
    """The weights that a training has at each of its validations."""
    found: list[torch.Tensor] = []
    ends = KeepBest.on_validation_end

    def watched(self: KeepBest, trainer: Any, module: Any) -> None:
        found.append(torch.cat([p.detach().flatten() for p in module.model.parameters()]))
        ends(self, trainer, module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeepBest, "on_validation_end", watched)
        train(options, **changes)
    return found


def test_equal_arguments_give_equal_weights() -> None:
    torch.manual_seed(1)
    first = train()
    torch.manual_seed(2)
    second = train()
    assert torch.equal(weights(first), weights(second))
    assert first.metrics == second.metrics
    assert not torch.equal(weights(first), weights(train(replace(OPTIONS, seed=4))))


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
@pytest.mark.parametrize("diverges", [False, True])
def test_what_has_ended_leaves_no_copy_of_the_tables(
    optimizer: Any, diverges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's objects refer to one another: without the garbage collector they live on."""

    shape = train(steps=1).subnet.embedding.weight.shape

    def diverge(*_: object) -> None:
        raise DivergedError("step 8")

    if diverges:
        monkeypatch.setattr(KeepBest, "on_validation_end", diverge)

    options = replace(OPTIONS, optimizer=optimizer, average_weights=True, learning_rate=0.01)

    def tables() -> int:
        tensors = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
        return sum(one.shape == shape for one in tensors)

    gc.collect()
    gc.disable()
    try:
        before, found = tables(), None
        try:
            found = train(options)
        except DivergedError:
            assert diverges
        assert tables() - before == (found is not None)
        del found
        assert tables() == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 40},
        {"learning_rate": 0.05},
        {"weight_decay": 0.01},
        {"embedding_decay": 0.01},
        {"dropout": 0.4},
        {"layer_norm": False},
        {"clip_norm": 0.1},
        {"eps": 1e-6},
        {"seed": 4},
        {"optimizer": "adam"},
        {"average_weights": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_counts(change: dict[str, Any]) -> None:
    assert {one.name for one in fields(ScratchOptions)} >= change.keys()
    usual, other = (train(options, steps=8) for options in (OPTIONS, replace(OPTIONS, **change)))
    assert weights(usual).shape != weights(other).shape or not torch.equal(weights(usual), weights(other))


def test_a_network_that_was_measured_trains_with_dropout_again() -> None:
    found = []
    for measured in (False, True):
        torch.manual_seed(0)
        subnet = Subnet(ARCHITECTURE, SCHEMA, dropout=0.5)
        if measured:
            subnet.eval()
            predict_logits(subnet, VALIDATION)
        train_network(subnet, TRAIN, VALIDATION, replace(OPTIONS, steps=8))
        found.append(torch.cat([parameter.detach().flatten() for parameter in subnet.parameters()]))
    assert found[0].equal(found[1])


def test_measuring_does_not_change_the_training() -> None:
    often, once = measured_weights(validate_every=8), measured_weights(validate_every=48)
    assert (len(often), len(once)) == (6, 1)
    assert torch.equal(often[-1], once[-1])


def test_it_starts_from_logits_of_zero() -> None:
    trained = train(replace(OPTIONS, learning_rate=1e-12), steps=1)
    assert predict_logits(trained.subnet, VALIDATION).abs().max() < 1e-6


def test_the_average_of_the_weights_is_kept_where_asked_for() -> None:
    # 40 steps: the average is that of the last few.
    options = replace(OPTIONS, dropout=0.0, weight_decay=0.0)
    own = measured_weights(options, steps=40, validate_every=1)
    average = own[0]
    for step, each in enumerate(own[1:], 2):
        average = average.lerp(each, 9 / (step + 8))
    averaged = weights(train(replace(options, average_weights=True), steps=40, validate_every=40))
    torch.testing.assert_close(averaged, average, rtol=1e-4, atol=1e-5)


def test_it_learns() -> None:
    trained = train(steps=160, validate_every=40)
    assert trained.metrics.auc > 0.7
    assert not trained.subnet.training


def test_the_best_weights_are_kept() -> None:
    # A rate far too high: the log loss goes up and down.
    for seed in range(20):
        seen: dict[int, Metrics] = {}
        trained = train(
            replace(OPTIONS, learning_rate=0.8, seed=seed),
            steps=160,
            on_validation=lambda step, metrics, seen=seen: seen.update({step: metrics}) or False,
        )
        best = min(seen, key=lambda step: seen[step].log_loss)
        if best != max(seen):
            break
    assert best != max(seen), "the example should not end at its best"
    assert (trained.step, trained.metrics) == (best, seen[best])
    assert measure_subnet(trained.subnet, VALIDATION).log_loss == pytest.approx(seen[best].log_loss, rel=1e-6)


def test_patience_ends_a_training_that_no_longer_improves() -> None:
    seen: list[Metrics] = []
    trained = train(
        replace(OPTIONS, learning_rate=0.8),
        steps=400,
        patience=2,
        on_validation=lambda step, metrics: seen.append(metrics) or False,
    )
    losses = [metrics.log_loss for metrics in seen]
    assert len(losses) < 50
    best = losses.index(min(losses))
    assert len(losses) == best + 3
    assert trained.step == 8 * (best + 1)
    assert not trained.stopped


def test_whoever_hears_of_a_validation_may_end_the_training() -> None:
    seen = []
    trained = train(on_validation=lambda step, metrics: seen.append(step) or step >= 16)
    assert seen == [8, 16]
    assert trained.stopped
    assert trained.step in (8, 16)


def test_validation_may_be_rarer_than_the_training_is_long() -> None:
    trained = train(validate_every=1000)
    assert trained.step == 48


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("batch_size", 0, "at least 1, but it is 0"),
        ("validate_every", 0, "at least 1, but it is 0"),
        ("patience", -1, "at least 0, but it is -1"),
        ("dropout", 1.0, "at least 0 and below 1, but it is 1.0"),
        ("dropout", -0.1, "at least 0 and below 1, but it is -0.1"),
        ("dropout", np.nan, "at least 0 and below 1, but it is nan"),
        ("device", "cuda:0", "one of cpu, cuda, but it is 'cuda:0'"),
        ("precision", "bf16", "one of float32, bfloat16, but it is 'bf16'"),
    ],
)
def test_options_have_their_ranges(name: str, value: Any, rule: str) -> None:
    with pytest.raises(JobError, match=f"^{name} must be {rule}$"):
        replace(OPTIONS, **{name: value})


def test_a_trained_subnet_has_no_gradients_left() -> None:
    trained = train(steps=9)  # Lightning drops them before a validation, the last of which is at step 8
    assert [name for name, p in trained.subnet.named_parameters() if p.grad is not None] == []


def test_several_epochs_keep_their_validations() -> None:
    # 16 steps an epoch, validations that do not divide it.
    seen = []
    train(validate_every=7, steps=35, on_validation=lambda step, metrics: seen.append(step) or False)
    assert seen == [7, 14, 21, 28, 35]


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_broken_training_goes_on_and_ends_as_an_unbroken_one(optimizer: Any, stop: int, tmp_path: Path) -> None:
    """16 steps an epoch, validations every 7: the breaks lie within epochs."""
    rate = 0.01 if optimizer == "adam" else 0.1
    options = replace(OPTIONS, optimizer=optimizer, learning_rate=rate, average_weights=stop > 1)
    checkpoint, heard, again = tmp_path / "folder" / "a.ckpt", [], []

    def breaks(step: int, metrics: Metrics) -> bool:
        if len(heard) == stop:
            raise RuntimeError("power cut")
        heard.append((step, metrics))
        return False

    def listens(step: int, metrics: Metrics) -> bool:
        again.append((step, metrics))
        return False

    arguments = {"validate_every": 7, "steps": 40, "patience": 9, "checkpoint": checkpoint}
    with pytest.raises(RuntimeError, match="power cut"):
        train(options, on_validation=breaks, **arguments)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["a.ckpt"]
    trained_steps = []
    with pytest.MonkeyPatch.context() as patch:
        step = ClickModule.training_step
        patch.setattr(
            ClickModule, "training_step", lambda self, *a: trained_steps.append(self.global_step) or step(self, *a)
        )
        resumed = train(options, on_validation=listens, **arguments)
    assert trained_steps == list(range(7 * stop, 40)), "what was done is not done again"
    assert [path.name for path in checkpoint.parent.iterdir()] == ["a.ckpt"], "its caller writes the result first"
    assert again[:stop] == heard
    whole = []
    unbroken = train(
        options, on_validation=lambda s, m: whole.append((s, m)) or False, **{**arguments, "checkpoint": None}
    )
    assert again == whole
    assert torch.equal(weights(resumed), weights(unbroken))
    assert (resumed.step, resumed.metrics) == (unbroken.step, unbroken.metrics)


def test_a_broken_training_remembers_its_patience_and_its_best_weights(tmp_path: Path) -> None:
    options, seen = replace(OPTIONS, learning_rate=0.8), []
    arguments = {"steps": 400, "patience": 3, "checkpoint": tmp_path / "a.ckpt"}

    def breaks(step: int, metrics: Metrics) -> bool:
        seen.append(metrics.log_loss)
        best = seen.index(min(seen))
        if len(seen) == best + 3:  # one more without improvement would end it
            raise RuntimeError("power cut")
        return False

    for attempts in range(100):
        seen.clear()
        try:
            resumed = train(options, on_validation=breaks if attempts < 1 else None, **arguments)
            break
        except RuntimeError:
            continue
    unbroken = train(options, **{**arguments, "checkpoint": None})
    assert attempts == 1
    assert torch.equal(weights(resumed), weights(unbroken))
    assert (resumed.step, resumed.metrics) == (unbroken.step, unbroken.metrics)


def test_a_training_whose_result_was_not_written_goes_on_from_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"validate_every": 7, "steps": 40, "checkpoint": tmp_path / "a.ckpt"}
    first = train(**arguments)
    steps, step = [], ClickModule.training_step
    monkeypatch.setattr(ClickModule, "training_step", lambda self, *a: steps.append(self.global_step) or step(self, *a))
    again = train(**arguments)
    assert steps == list(range(35, 40))
    assert torch.equal(weights(again), weights(first))
    assert (again.step, again.metrics) == (first.step, first.metrics)


def test_a_checkpoint_that_a_crash_left_empty_or_cut_off_is_said_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "a.ckpt"
    whole = train(checkpoint=checkpoint)
    for left in (b"", checkpoint.read_bytes()[:999]):
        checkpoint.write_bytes(left)
        caplog.clear()
        again = train(checkpoint=checkpoint)
        assert f"The checkpoint {checkpoint} cannot be read and is passed over" in caplog.text
        assert torch.equal(weights(again), weights(whole))
        assert checkpoint.stat().st_size > 999


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        MemoryError("no room"),
        RuntimeError("unable to mmap 9 bytes from file <a.ckpt>: Cannot allocate memory (12)"),
        pickle.UnpicklingError("Weights only load failed"),  # another version of Lightning wrote it
        KeyError("global_step"),
    ],
)
def test_a_checkpoint_that_cannot_be_opened_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    checkpoint = tmp_path / "a.ckpt"
    train(checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    monkeypatch.setattr(torch, "load", Mock(side_effect=error))
    with pytest.raises(CheckpointError, match=rf"a\.ckpt: cannot be read now \({re.escape(str(error))}\); mend it and"):
        train(checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_training_that_diverges_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, checkpoint = ClickModule.training_step, tmp_path / "a.ckpt"

    def poisoned(self: ClickModule, *batch: Any) -> torch.Tensor:
        if self.global_step == 20:
            assert checkpoint.exists()
        return step(self, *batch) * (torch.nan if self.global_step == 20 else 1)

    monkeypatch.setattr(ClickModule, "training_step", poisoned)
    with pytest.raises(DivergedError):
        train(checkpoint=checkpoint)
    assert not list(tmp_path.iterdir())


def test_optimisers_differ() -> None:
    results = [train(replace(OPTIONS, optimizer=one)) for one in ("adagrad", "adam", "sgd")]
    assert len({float(weights(one).sum()) for one in results}) == 3


def test_embedding_rows_may_have_a_decay_of_their_own() -> None:
    def size(**decays: float) -> float:
        return train(replace(OPTIONS, **decays), steps=20).subnet.embedding.weight.norm().item()

    plain = size(weight_decay=0.0)
    assert size(weight_decay=0.0, embedding_decay=0.1) < 0.9 * plain
    assert size(weight_decay=0.1, embedding_decay=0.0) > 0.9 * plain


def test_predictions_are_those_of_the_evaluation_mode() -> None:
    trained = train()
    trained.subnet.train()
    logits = predict_logits(trained.subnet, VALIDATION)
    assert trained.subnet.training, "whoever measures in the middle of a training of their own goes on with dropout"
    assert logits.shape == (300,)
    dense, ids, _ = VALIDATION.batch(slice(0, 300))
    with torch.no_grad():
        torch.testing.assert_close(logits, trained.subnet.eval()(dense, ids))
    assert measure_subnet(trained.subnet, VALIDATION).rows == 300
    assert not trained.subnet.training


def test_training_in_bfloat16_learns_as_float32_does() -> None:
    # What rounding changes grows in a training: the log loss of one strays by 0.02.
    pairs = []
    for seed in range(4):
        options = replace(OPTIONS, seed=seed, average_weights=True, dropout=0.0)
        exact, rounded = (train(options, steps=96, precision=name) for name in ("float32", "bfloat16"))
        pairs.append((exact.metrics.log_loss, rounded.metrics.log_loss))
        assert rounded.metrics.auc > 0.7
    assert np.mean(pairs, axis=0)[1] == pytest.approx(np.mean(pairs, axis=0)[0], abs=3e-2)
    assert not torch.equal(weights(rounded), weights(exact))
    assert weights(rounded).dtype == torch.float32


def test_integer_weights_are_repeated_rows() -> None:
    """In steps over all rows, by plain gradients: Adagrad enlarges rounding, a sum in another order as much."""
    rows, validation = with_weights(TRAIN, seed=1), with_weights(VALIDATION, seed=2)
    options = replace(OPTIONS, batch_size=9999, dropout=0.0, weight_decay=0.0, optimizer="sgd", learning_rate=0.1)
    options = replace(options, steps=12, validate_every=4)
    weighted = train_from_scratch(ARCHITECTURE, SCHEMA, rows, validation, options)
    plain = train_from_scratch(ARCHITECTURE, SCHEMA, repeated(rows), repeated(validation), options)
    torch.testing.assert_close(weights(weighted), weights(plain), rtol=1e-4, atol=1e-5)
    unlike = train(options)
    assert (weights(unlike) - weights(plain)).abs().max() > 1e-3
    assert weighted.metrics.log_loss == pytest.approx(plain.metrics.log_loss, abs=1e-5)
    assert weighted.metrics.auc == pytest.approx(plain.metrics.auc, abs=1e-3)  # near ties
    measured = measure_subnet(weighted.subnet, validation)
    assert measured.log_loss == pytest.approx(weighted.metrics.log_loss, abs=1e-6)
    assert measured.rows == len(VALIDATION)
