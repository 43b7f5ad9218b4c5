import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nni
import nni.nas.strategy
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import JobError, TrainingError
from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import DataLoader, Lightning, LightningModule, Trainer
from nasrec_automl.testing.examples import make_rows, repeated, tiny_schema, tiny_space, with_weights
from nasrec_automl.testing.pytest_oneshot import make_evaluator, run_experiment
from nasrec_automl.training.lightning import quiet, quiet_trainer
from nasrec_automl.training.module import ClickModule, TrainingOptions


def test_it_is_the_click_module() -> None:
    assert issubclass(ClickEvaluatorModule, ClickModule)


def test_validations_are_intermediate_results_and_the_last_is_the_final_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intermediate: list[Any] = []
    final: list[Any] = []
    monkeypatch.setattr(nni, "report_intermediate_result", intermediate.append)
    monkeypatch.setattr(nni, "report_final_result", final.append)
    space = NasRecSpace(tiny_space(), tiny_schema())
    run_experiment(space, make_evaluator(steps=12, val_check_interval=4), NasRecOneShot(), tmp_path)
    assert len(intermediate) == 3
    assert final == intermediate[-1:]
    for result in intermediate:
        assert set(result) == {"default", "log_loss", "auc"}
        # NNI's strategies maximise.
        assert result["default"] == -result["log_loss"]
        assert 0 < result["auc"] < 1


def models(space: NasRecSpace, count: int) -> list[Any]:
    return [space.freeze(dict(tiny_space().random(np.random.default_rng(seed)).params)) for seed in range(count)]


def test_a_trainer_that_has_trained_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    final: list[Any] = []
    monkeypatch.setattr(nni, "report_final_result", final.append)
    monkeypatch.setattr(nni, "report_intermediate_result", lambda result: None)
    module = ClickEvaluatorModule(TrainingOptions(steps=4, learning_rate=0.1))
    # With Lightning's own two batches of validation before the first step.
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    evaluator = Lightning(module, trainer, loader(weighted=False), loader(weighted=False))
    one, two = models(NasRecSpace(tiny_space(), tiny_schema()), 2)
    with quiet():
        evaluator.evaluate(one)
        assert len(final) == 1
        with pytest.raises(TrainingError, match=r"after 4 steps, and took none for this model.*FunctionalEvaluator"):
            evaluator.evaluate(two)
    assert len(final) == 1, "what was not trained has no result"


def test_nni_sends_loaders_of_prepared_rows_by_their_folders_name(tmp_path: Path) -> None:
    prepare(make_synthetic(20_000, seed=4), tmp_path / "prepared")
    data = PreparedData.open(tmp_path / "prepared")
    trainer = quiet_trainer(cls=Trainer, max_steps=4, device="cpu", callbacks=[], plugins=[])
    module = ClickEvaluatorModule(TrainingOptions(steps=4, learning_rate=0.1))
    training = TrainingBatches(data.part("train", "head"), 512, seed=3, steps=4)
    expected = training.batch(2)
    evaluator = Lightning(module, trainer, training, EvaluationBatches(data.part("search"), 4096))
    text = nni.dump(evaluator, pickle_size_limit=1 << 16)  # the limit of NNI's channel to a training service
    assert len(text) < 1 << 16
    again = nni.load(text)
    assert all(torch.equal(a, b) for a, b in zip(again.train_dataloaders.batch(2), expected, strict=True))
    for batch, other in zip(again.val_dataloaders, evaluator.val_dataloaders, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_a_trainer_that_goes_on_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    final: list[Any] = []
    monkeypatch.setattr(nni, "report_final_result", final.append)
    monkeypatch.setattr(nni, "report_intermediate_result", lambda result: None)
    module = ClickEvaluatorModule(TrainingOptions(steps=8, learning_rate=0.1))
    evaluator, (model,) = evaluator_of(module), models(NasRecSpace(tiny_space(), tiny_schema()), 1)
    with quiet():
        evaluator.evaluate(model)
        evaluator.trainer.fit_loop.max_epochs, evaluator.trainer.fit_loop.epoch_loop.max_steps = 2, 8
        evaluator.evaluate(model)
    assert evaluator.trainer.global_step == 8
    assert len(final) == 2
    assert final[0] != final[1]


class OwnModule(LightningModule):
    """What a user writes who knows NNI and plain torch."""

    def __init__(self, optimizer: type[torch.optim.Optimizer], **options: Any) -> None:
        super().__init__()
        self.optimizer, self.options = optimizer, options
        self.losses: list[float] = []

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.model(dense, ids)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        dense, ids, label, *weight = batch
        loss = F.binary_cross_entropy_with_logits(self(dense, ids), label, *weight)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", F.binary_cross_entropy_with_logits(self(batch[0], batch[1]), batch[2]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters(), **self.options)


def loader(*, weighted: bool) -> DataLoader:
    rows = make_rows(tiny_schema(), 256)
    dense, ids, label = rows.batch(slice(0, 256))
    weight = torch.linspace(0.5, 1.5, 256)
    tensors = (dense, ids, label, weight) if weighted else (dense, ids, label)
    return DataLoader(TensorDataset(*tensors), batch_size=64)


def evaluator_of(module: LightningModule, *, weighted: bool = False, epochs: int = 1) -> Lightning:
    trainer = quiet_trainer(cls=Trainer, max_steps=4 * epochs, device="cpu", callbacks=[])
    trainer.fit_loop.max_epochs = epochs
    return Lightning(module, trainer, loader(weighted=weighted), loader(weighted=weighted))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_plain_torch_loader_with_and_without_weights(weighted: bool, tmp_path: Path) -> None:
    module = ClickEvaluatorModule(TrainingOptions(steps=4, learning_rate=0.1))
    space = NasRecSpace(tiny_space(), tiny_schema())
    run_experiment(space, evaluator_of(module, weighted=weighted), NasRecOneShot(), tmp_path)
    assert module.metrics is not None
    assert module.metrics.rows == 256


def test_a_strategy_that_is_told_to_clip_is_refused(tmp_path: Path) -> None:
    evaluator = evaluator_of(ClickEvaluatorModule(TrainingOptions(steps=4, learning_rate=0.1)))
    strategy = nni.nas.strategy.DARTS(gradient_clip_val=5.0)
    with pytest.raises(JobError, match=r"gradient_clip_val is 5\.0, .* set TrainingOptions\.clip_norm"):
        run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, strategy, tmp_path)


@pytest.mark.parametrize("strategy", [NasRecOneShot, nni.nas.strategy.RandomOneShot])
def test_several_validation_loaders(strategy: Any, tmp_path: Path) -> None:
    module = ClickEvaluatorModule(TrainingOptions(steps=4, learning_rate=0.1))
    evaluator = evaluator_of(module)
    evaluator.val_dataloaders = [loader(weighted=False), loader(weighted=False)]
    run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, strategy(), tmp_path)
    assert module.metrics is not None
    assert module.metrics.rows == 512


@pytest.mark.parametrize("strategy", [NasRecOneShot, nni.nas.strategy.RandomOneShot, nni.nas.strategy.DARTS])
@pytest.mark.parametrize("weighted", [False, True])
def test_ones_own_lightning_module_around_the_space(strategy: Any, weighted: bool, tmp_path: Path) -> None:
    module = OwnModule(torch.optim.SGD, lr=0.05)
    space = NasRecSpace(tiny_space(), tiny_schema())
    run_experiment(space, evaluator_of(module, weighted=weighted), strategy(), tmp_path)
    assert len(module.losses) >= 4


@pytest.mark.parametrize(
    ("optimizer", "options"), [(torch.optim.SGD, {"lr": 0.05}), (torch.optim.Adagrad, {"lr": 0.05})]
)
def test_torchs_optimisers_that_train_a_model_of_the_space(optimizer: Any, options: dict[str, Any]) -> None:
    space = NasRecSpace(tiny_space(), tiny_schema())
    model = space.freeze(dict(tiny_space().random(np.random.default_rng(0)).params))
    module = OwnModule(optimizer, **options)
    evaluator_of(module, epochs=8).evaluate(model)
    assert module.losses[-1] < module.losses[0]


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.AdamW, {}),
        (torch.optim.SGD, {"lr": 0.05, "weight_decay": 0.1}),
        (torch.optim.Adagrad, {"weight_decay": 0.1}),
        (torch.optim.SparseAdam, {}),
    ],
)
def test_torchs_optimisers_that_refuse_sparse_gradients(optimizer: Any, options: dict[str, Any]) -> None:
    space = NasRecSpace(tiny_space(), tiny_schema())
    model = space.freeze(dict(tiny_space().random(np.random.default_rng(0)).params))
    with pytest.raises(RuntimeError, match=r"sparse|dense"):
        evaluator_of(OwnModule(optimizer, **options)).evaluate(model)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (torch.optim.Adam, {"lr": 0.01}),
        (torch.optim.AdamW, {"lr": 0.01}),
        (torch.optim.SGD, {"lr": 0.05, "weight_decay": 0.001}),
    ],
)
def test_with_dense_gradients_any_of_torchs_optimisers_trains(optimizer: Any, options: dict[str, Any]) -> None:
    """Models with new weights, those of a supernet, and the supernet under NNI's own strategy."""
    space = NasRecSpace(tiny_space(), tiny_schema(), sparse_gradients=False)
    sample = dict(tiny_space().random(np.random.default_rng(0)).params)
    supernet = nni.nas.strategy.RandomOneShot().mutate_model(copy.deepcopy(space))
    for model in (space.freeze(sample), supernet.freeze(sample), supernet):
        module = OwnModule(optimizer, **options)
        evaluator_of(module, epochs=8).evaluate(model)
        assert sum(module.losses[-4:]) < sum(module.losses[:4])


def test_sparse_adam_for_the_embeddings_beside_adam_for_the_rest() -> None:
    """What somebody does who wants Adam: two optimisers, in a loop of their own."""
    space = NasRecSpace(tiny_space(), tiny_schema())
    model = space.freeze(dict(tiny_space().random(np.random.default_rng(0)).params))
    tables = [model.network.embedding.weight]
    rest = [parameter for parameter in model.parameters() if parameter is not tables[0]]
    optimizers = [torch.optim.SparseAdam(tables, lr=0.05), torch.optim.Adam(rest, lr=0.01)]
    dense, ids, label = make_rows(tiny_schema(), 256).batch(slice(0, 256))
    losses = []
    for _ in range(20):
        loss = F.binary_cross_entropy_with_logits(model(dense, ids), label)
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_nnis_own_random_one_shot_measures_validation_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNI's wrapper hands on fewer hooks than Lightning calls; rows of one validation must not reach the next."""
    final: list[Any] = []
    monkeypatch.setattr(nni, "report_final_result", final.append)
    evaluator = make_evaluator(steps=12, val_check_interval=4)
    space = NasRecSpace(tiny_space(), tiny_schema())
    run_experiment(space, evaluator, nni.nas.strategy.RandomOneShot(), tmp_path)
    assert len(final) == 1
    assert evaluator.module.metrics.rows == 256


class Odds(torch.nn.Module):
    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return dense[:, 0]


def test_enas_is_rewarded_by_the_weighted_log_loss_of_a_batch() -> None:
    module = ClickEvaluatorModule(TrainingOptions(steps=1, learning_rate=0.1))
    module.set_model(Odds())
    module.trainer = SimpleNamespace(training=True)
    rewards = []
    module.log = lambda name, value: rewards.append(value.item())
    rows = make_rows(tiny_schema(), 64)
    weighted = with_weights(rows)
    for each in (rows, weighted, repeated(weighted)):
        module.validation_step(each.batch(slice(0, len(each))), 0)
    dense, _, label = rows.batch(slice(0, 64))
    assert rewards[0] == -F.binary_cross_entropy_with_logits(dense[:, 0], label).item()
    assert rewards[1] == pytest.approx(rewards[2])
    assert rewards[0] != pytest.approx(rewards[1], rel=1e-3)
