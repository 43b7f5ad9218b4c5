from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.nn.pytorch import LayerChoice
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from nasrec_automl.errors import CheckpointError, DataError, DivergedError, JobError, SpaceError
from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import Lightning, LightningModule, ModelSpace
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.randomness import rng_for
from nasrec_automl.sampling import PATH_SAMPLERS, WarmUp, path_sampler
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import (
    BATCH,
    ROWS,
    STEPS,
    OneShotStrategyContract,
    make_evaluator,
    run_experiment,
)
from nasrec_automl.training.metrics import measure


class TestNasRecOneShot(OneShotStrategyContract):
    @pytest.fixture
    def strategy(self) -> NasRecOneShot:
        return NasRecOneShot(warm_up_steps=4, seed=3)


class TestNasRecOneShotOfAnyPaths(OneShotStrategyContract):
    @pytest.fixture
    def strategy(self) -> NasRecOneShot:
        return NasRecOneShot(sampling="any-path")


def run(folder: Path, strategy: NasRecOneShot, **options: Any) -> NasRecOneShot:
    run_experiment(NasRecSpace(tiny_space(), tiny_schema()), make_evaluator(**options), strategy, folder)
    return strategy


def weights(strategy: NasRecOneShot) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in strategy.supernet.network.supernet.parameters()])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The paths that training steps ran."""
    paths: list[Any] = []
    step = NasRecLightningModule.training_step

    def watch(self: NasRecLightningModule, batch: Any, batch_idx: int) -> Any:
        loss = step(self, batch, batch_idx)
        paths.append(self.shared.path)
        return loss

    monkeypatch.setattr(NasRecLightningModule, "training_step", watch)
    return paths


@pytest.mark.parametrize("sampling", PATH_SAMPLERS)
def test_a_step_trains_the_path_of_its_number(tmp_path: Path, seen: list[Any], sampling: str) -> None:
    run(tmp_path, NasRecOneShot(sampling=sampling, warm_up_steps=6, seed=5))
    warm_up = WarmUp(path_sampler(sampling, tiny_space()), steps=6, seed=5)
    assert seen == [warm_up.path(step) for step in range(STEPS)]


class Around(ModelSpace):
    """A model space that holds others, and may hand on NNI's question."""

    def __init__(self, spaces: int = 1, *, choice: bool = False) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList([NasRecSpace(tiny_space(), tiny_schema()) for _ in range(spaces)])
        self.last = LayerChoice([torch.nn.Identity(), torch.nn.Tanh()], label="last") if choice else torch.nn.Identity()

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(self.parts[0](dense, ids))
        return logits


class Asked(Around):
    def extra_oneshot_hooks(self, strategy: Any) -> list[Any]:
        hooks: list[Any] = self.parts[0].extra_oneshot_hooks(strategy)
        return hooks


def test_it_trains_a_space_that_another_one_holds(tmp_path: Path, seen: list[Any]) -> None:
    strategy = NasRecOneShot(export_candidates=2)
    experiment = run_experiment(Asked(), make_evaluator(), strategy, tmp_path)
    assert len(seen) == STEPS
    (sample,) = experiment.export_top_models(formatter="dict")
    assert tiny_space().from_params(sample).params == sample


class Offset(Asked):
    """The last dense column is another model's logit, which is added."""

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.parts[0](dense[:, :3], ids) + dense[:, 3]
        return logits


class Shifted(NasRecSpace):
    """A space whose own class adds to the logits."""

    def __init__(self) -> None:
        super().__init__(tiny_space(), tiny_schema())

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(dense, ids) + 3 * dense[:, 0]


class Plain(LightningModule):
    """A user's module, which checks no batch."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        dense, ids, label = batch
        return binary_cross_entropy_with_logits(self.model(dense, ids), label)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(self.parameters(), lr=0.1)


@pytest.mark.parametrize("around", [Offset, Shifted])
def test_a_model_around_the_space_is_scored_as_a_whole(tmp_path: Path, around: type[ModelSpace]) -> None:
    dense, ids, label = make_rows(tiny_schema(), ROWS).batch(slice(0, ROWS))
    if around is Offset:
        dense = torch.cat([dense, 3 * dense[:, :1]], dim=1)
    rows = DataLoader(TensorDataset(dense, ids, label), batch_size=BATCH)
    evaluator = Lightning(Plain(), make_evaluator(max_epochs=2).trainer, rows, rows)
    strategy = NasRecOneShot(seed=3, export_candidates=8)
    experiment = run_experiment(around(), evaluator, strategy, tmp_path)
    samples = experiment.export_top_models(8, formatter="dict")
    assert strategy.oneshot_module.export() == samples[0], "as NNI's one-shot modules have it"

    model = strategy.supernet.eval()
    (shared,) = (module for module in model.modules() if isinstance(module, SharedNetwork))
    scored = torch.from_numpy(rng_for("halves for heads and scores", 3).permutation(ROWS)[ROWS // 2 :])
    losses = []
    for sample in samples:
        shared.path = tiny_space().from_params(sample).path
        with torch.no_grad():
            losses.append(measure(model(dense[scored], ids[scored]), label[scored]).log_loss)
    assert len({*losses}) == 8
    assert losses == sorted(losses), "they are those of the model as it was trained"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Asked(choice=True), "choices of its own: last"),
        (Around(), "extra_oneshot_hooks"),
        (Asked(2), "holds 2"),
        (Around(0), "holds 0"),
    ],
)
def test_a_space_that_it_cannot_train_is_refused_in_a_sentence(model: Around, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        NasRecOneShot().mutate_model(model)


def test_a_space_that_an_earlier_experiment_has_made_a_supernet_of_is_named() -> None:
    supernet = NasRecOneShot().mutate_model(NasRecSpace(tiny_space(), tiny_schema()))
    with pytest.raises(SpaceError, match=r"this NasRecSpace is a supernet already: .* a space of its own"):
        NasRecOneShot().mutate_model(supernet)


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = weights(run(tmp_path / "a", NasRecOneShot(seed=3)))
    torch.manual_seed(2)
    assert torch.equal(weights(run(tmp_path / "b", NasRecOneShot(seed=3))), first)
    assert not torch.equal(weights(run(tmp_path / "c", NasRecOneShot(seed=4))), first)


def test_it_learns(tmp_path: Path) -> None:
    aucs = []  # one seed says little of so small a supernet
    for seed in range(4):
        strategy = run(tmp_path / str(seed), NasRecOneShot(seed=seed, warm_up_steps=40), steps=240)
        aucs.append(strategy.oneshot_module.training_module.metrics.auc)
    assert sum(aucs) / len(aucs) > 0.6


def test_validation_runs_fixed_architectures_one_a_batch(tmp_path: Path) -> None:
    strategy = run(tmp_path, NasRecOneShot(seed=3))
    supernet, rows = strategy.supernet.network.supernet.eval(), make_rows(tiny_schema(), ROWS)
    logits = []
    for number in range(ROWS // BATCH):
        architecture = tiny_space().random(rng_for("validated architecture", 3, number))
        dense, ids, _ = rows.batch(slice(number * BATCH, (number + 1) * BATCH))
        with torch.no_grad():
            logits.append(supernet(dense, ids, architecture))
    expected = measure(torch.cat(logits), rows.batch(slice(0, ROWS))[2])
    metrics = strategy.oneshot_module.training_module.metrics
    assert metrics.rows == ROWS
    assert metrics.log_loss == pytest.approx(expected.log_loss, rel=1e-5)


def test_gradients_are_clipped_and_the_schedule_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []

    def record(parameters: Any, norm: float) -> torch.Tensor:
        norms.append((len(list(parameters)), norm))
        return torch.ones(())

    monkeypatch.setattr("nasrec_automl.training.module.clip_gradients", record)
    strategy = run(tmp_path, NasRecOneShot())
    assert len(norms) == STEPS
    assert {norm for _, norm in norms} == {5.0}
    assert norms[0][0] == len(list(strategy.supernet.network.supernet.parameters()))
    rate = strategy.oneshot_module.trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0, abs=1e-9), "the cosine has come to its end"


def test_of_an_evaluator_without_a_trainer_nni_says_which_it_wants() -> None:
    with pytest.raises(TypeError, match="needs to be a lightning evaluator"):
        NasRecOneShot().mutate_evaluator(FunctionalEvaluator(print))


def test_options_show_in_nnis_logs() -> None:
    assert repr(NasRecOneShot(seed=3)) == (
        "NasRecOneShot(sampling='single-operator', warm_up_steps=0, seed=3, export_candidates=64)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "all"}, "sampling: no path sampler 'all'; there are single-operator, single-path"),
        ({"warm_up_steps": -1}, "warm_up_steps must be at least 0, but it is -1"),
        ({"seed": -2}, "seed must be at least 0, but it is -2"),
        ({"export_candidates": 0}, "export_candidates must be at least 1, but it is 0"),
    ],
)
def test_options_out_of_range_are_named_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        NasRecOneShot(**options)


def poison(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the gradients of one step infinite."""
    train = NasRecLightningModule.training_step

    def poisoned(self: NasRecLightningModule, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = train(self, batch, batch_idx)
        return loss * torch.inf if self.global_step + 1 == step else loss

    monkeypatch.setattr(NasRecLightningModule, "training_step", poisoned)


def test_a_step_that_diverges_is_named_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 5)
    strategy = NasRecOneShot(seed=3)
    space = tiny_space()
    path = WarmUp(path_sampler("single-operator", space), steps=0, seed=3).path(4)
    with pytest.raises(DivergedError, match=r"step 5 of 12: .* norm of the gradients (inf|nan)") as caught:
        run(tmp_path, strategy)
    assert str(caught.value).endswith(f"The step's path: {path}")
    assert weights(strategy).isfinite().all()


def test_the_full_path_is_named_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 1)
    with pytest.raises(DivergedError, match=r"The step's path: the full path of tiny$"):
        run(tmp_path, NasRecOneShot(sampling="full-path"))


@pytest.mark.parametrize("stage", ["training", "validation"])
def test_a_bad_batch_of_a_users_loader_is_named(tmp_path: Path, stage: str) -> None:
    evaluator = make_evaluator()
    dense, ids, label = make_rows(tiny_schema(), BATCH).batch(slice(0, BATCH))
    loader = DataLoader(TensorDataset(dense, ids + 4, label), batch_size=16)
    if stage == "training":
        evaluator.train_dataloaders = loader
    else:
        evaluator.val_dataloaders = loader
    with pytest.raises(DataError, match=f"^{stage} batch after [0-9]+ steps: ids column .*, field 'field"):
        run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, NasRecOneShot(), tmp_path)


HOOKS = (
    *("prepare_data", "configure_callbacks", "on_save_checkpoint", "on_load_checkpoint", "lr_scheduler_step"),
    *("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer", "backward"),
    *("on_before_zero_grad", "optimizer_zero_grad", "on_before_optimizer_step", "optimizer_step"),
    *("on_validation_epoch_start", "on_validation_batch_start", "on_validation_batch_end", "on_validation_epoch_end"),
)


class Watched(ClickEvaluatorModule):
    """Counts its steps, which its checkpoints hold, and notes which hooks were called."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.called: set[str] = set()
        self.steps = 0

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.steps += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["steps"] = self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps = checkpoint["steps"]

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            self.called.add(name)
        return super().__getattribute__(name)


def test_the_evaluators_own_hooks_are_called_and_its_state_is_restored(tmp_path: Path) -> None:
    def train(name: str, **options: Any) -> Watched:
        evaluator = make_evaluator(**options)
        evaluator.module = module = Watched(evaluator.module.options)
        run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, NasRecOneShot(), tmp_path / name)
        return module

    keep = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=8)
    first = train("first", callbacks=[keep])
    resumed = train("resumed", fit_kwargs={"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True})
    assert first.called | resumed.called == set(HOOKS)
    assert first.steps == resumed.steps == STEPS


def test_what_a_validation_step_returns_reaches_the_hook_after_it(tmp_path: Path) -> None:
    class Returns(ClickEvaluatorModule):
        returned: ClassVar[list[Any]] = []

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            super().validation_step(batch, batch_idx, dataloader_idx)
            return {"rows": len(batch[2])}

        def on_validation_batch_end(self, outputs: Any, *args: Any) -> None:
            self.returned.append(outputs)

    evaluator = make_evaluator()
    evaluator.module = module = Returns(evaluator.module.options)
    run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, NasRecOneShot(), tmp_path)
    assert module.returned
    assert all(outputs == {"rows": BATCH} for outputs in module.returned)


def test_a_checkpoint_never_holds_weights_that_are_not_finite(tmp_path: Path) -> None:
    class Spoil(Callback):
        @torch.no_grad()
        def on_train_batch_end(self, trainer: Any, module: NasRecLightningModule, *args: Any) -> None:
            module.shared.supernet.head.bias.fill_(torch.inf)

    keep = ModelCheckpoint(dirpath=tmp_path / "kept", every_n_train_steps=1)
    with pytest.raises(DivergedError, match=r"the weights \S+head\.bias are no longer finite"):
        run(tmp_path / "nni", NasRecOneShot(), callbacks=[Spoil(), keep])
    assert not list((tmp_path / "kept").glob("*"))


def test_a_checkpoint_of_another_schema_is_refused_in_a_sentence(tmp_path: Path) -> None:
    keep = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=4)
    run(tmp_path / "a", NasRecOneShot(), callbacks=[keep])
    other = FeatureSchema.from_sizes(dense=3, table_sizes=[7, 5, 9, 14], embedding_dim=8)
    resumed = make_evaluator(fit_kwargs={"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True})
    with pytest.raises(CheckpointError, match="25 rows and width 8, but the network's schema has 35 rows"):
        run_experiment(NasRecSpace(tiny_space(), other), resumed, NasRecOneShot(), tmp_path / "b")
