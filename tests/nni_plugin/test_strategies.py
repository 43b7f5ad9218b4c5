"""Every strategy of NNI on this space: what the table of docs/nni.md says is what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nni
import nni.nas.strategy
import numpy as np
import pytest
import torch
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.experiment.config import RawModelFormatConfig, SequentialEngineConfig, SimplifiedModelFormatConfig
from nni.nas.oneshot.pytorch.supermodule.differentiable import GumbelSoftmax
from pytorch_lightning.callbacks import Callback
from torch.nn import functional as F

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.errors import ArchitectureError, DataError, DivergedError, ExtraError, NasRecError
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecENAS, NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import Lightning, NasExperiment, NasExperimentConfig, Trainer, model_context
from nasrec_automl.ops.slices import slice_gradient
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import BATCH, ROWS, STEPS, make_evaluator, run_experiment
from nasrec_automl.training.lightning import quiet_trainer
from nasrec_automl.training.module import TrainingOptions

PAGE = Path(__file__).parents[2] / "docs" / "nni.md"
YES = "yes"
HAS_RL = find_spec("tianshou") is not None


@dataclass(frozen=True, kw_only=True)
class MultiTrial:
    """A row of the first table. A cell is `yes` or how the error begins."""

    name: str
    alone: str = YES
    supernet: str = YES
    needs: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    trials: int = 3


@dataclass(frozen=True, kw_only=True)
class OneShot:
    """A row of the second table."""

    name: str
    step: str
    export: str
    needs: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


MULTI_TRIAL = (
    MultiTrial(name="Random"),
    MultiTrial(name="GridSearch", supernet="no: an error says so, and why", options={"seed": 0}),
    MultiTrial(name="RegularizedEvolution", options={"population_size": 2, "sample_size": 2}, trials=4),
    # It sleeps for a second a trial.
    MultiTrial(name="TPE", needs='`TPE(optimize_mode="maximize")`', options={"optimize_mode": "maximize"}, trials=2),
    MultiTrial(name="PolicyBasedRL", needs="the extra `rl`", options={"samples_per_update": 2}),
)
ONE_SHOT = (
    OneShot(
        name="NasRecOneShot",
        step="a path of the method's samplers, by name",
        export="the best of a short search with the shared weights",
    ),
    OneShot(name="RandomOneShot", step="a random architecture", export="a random architecture, as NNI warns"),
    OneShot(
        name="ENAS",
        step="an architecture of its controller",
        export="one more architecture of its controller",
        needs="the extra `rl`, and `NasRecENAS` in its place",
        options={"batches_per_update": 2, "update_kwargs": {"batch_size": 8, "repeat": 1}},
        trainer={"max_steps": STEPS + 1},  # the rewards come after the last step of the weights
    ),
    OneShot(name="DARTS", step="all choices, weighted by softmax", export="the likeliest choice of each label"),
    OneShot(
        name="GumbelDARTS",
        step="all choices, weighted by Gumbel-softmax",
        export="the likeliest choice of each label",
        needs="`max_epochs` of 2 or more, to cool down",
        trainer={"max_epochs": 3, "max_steps": -1},
    ),
    OneShot(
        name="Proxyless",
        step="one architecture drawn by softmax; the others run for its gradients",
        export="the likeliest choice of each label",
    ),
)


def make_strategy(row: MultiTrial | OneShot) -> Any:
    if "`rl`" in row.needs and not HAS_RL:
        pytest.skip("run by make test-rl")
    ours = {"NasRecOneShot": NasRecOneShot, "ENAS": NasRecENAS}
    made = ours.get(row.name) or getattr(nni.nas.strategy, row.name)
    return made(**row.options)


def make_space() -> NasRecSpace:
    return NasRecSpace(tiny_space(), tiny_schema())


def train_alone(model: Any, steps: int = 20) -> tuple[float, float]:
    """Train a frozen model with plain torch; the log loss before and after."""
    rows = make_rows(tiny_schema(), 128)
    dense, ids, label = rows.batch(slice(0, 128))
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(dense, ids), label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def assert_trains_alone(sample: dict[str, Any]) -> None:
    assert tiny_space().from_params(sample).params == sample
    with model_context(sample):
        model = make_space()
    assert isinstance(model.network, Subnet)
    before, after = train_alone(model)
    assert after < before


def search(
    row: MultiTrial, space: NasRecSpace, model_format: Any, folder: Path, evaluate: Callable[[Any], None]
) -> Any:
    strategy = make_strategy(row)
    config = NasExperimentConfig(
        execution_engine=SequentialEngineConfig(), model_format=model_format, max_trial_number=row.trials
    )
    config.experiment_working_directory = folder
    experiment = NasExperiment(space, FunctionalEvaluator(evaluate), strategy, config)
    experiment.run()
    experiment.stop()
    return experiment


def ids_of(rows: tuple[Any, ...]) -> list[str]:
    return [row.name for row in rows]


@pytest.mark.parametrize("row", MULTI_TRIAL, ids=ids_of(MULTI_TRIAL))
def test_multi_trial_strategies_train_each_model_alone(row: MultiTrial, tmp_path: Path) -> None:
    seen = []

    def evaluate(model: Any) -> None:
        seen.append(model.network.architecture.params)
        nni.report_final_result(-train_alone(model, steps=3)[1])  # NNI maximises

    experiment = search(row, make_space(), SimplifiedModelFormatConfig(), tmp_path, evaluate)
    assert row.alone == YES
    assert len(seen) == row.trials
    sample = experiment.export_top_models(formatter="dict")[0]
    assert sample in seen
    assert_trains_alone(sample)


def test_tpe_seeks_the_best_where_it_is_told_to_maximise(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNI's default is to minimise, whatever its other strategies do."""
    row = next(row for row in MULTI_TRIAL if row.name == "TPE")
    tuner = make_strategy(row).tuner
    space = make_space()
    tuner.update_search_space({label: mutable.as_legacy_dict() for label, mutable in space.simplify().items()})
    sizes = []
    for number in range(60):
        sample = tuner.generate_parameters(number)
        sizes.append(sample["block1/dense_dim"] + sample["block2/dense_dim"])
        tuner.receive_trial_result(number, sample, -float(sizes[-1]))
    assert np.mean(sizes[30:]) < np.mean(sizes[:20])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> NasRecSpace:
    """A supernet that NasRecOneShot has trained."""
    strategy = NasRecOneShot()
    run_experiment(make_space(), make_evaluator(steps=4), strategy, tmp_path_factory.mktemp("supernet"))
    return strategy.supernet


@pytest.mark.parametrize("row", MULTI_TRIAL, ids=ids_of(MULTI_TRIAL))
def test_multi_trial_strategies_search_a_trained_supernet(
    row: MultiTrial, trained: NasRecSpace, tmp_path: Path
) -> None:
    supernet = trained.network.supernet.eval()
    dense, ids, label = make_rows(tiny_schema(), 64).batch(slice(0, 64))
    scored = []

    @torch.no_grad()
    def evaluate(model: Any) -> None:
        architecture = model.network.architecture
        logits = model.eval()(dense, ids)
        torch.testing.assert_close(logits, supernet(dense, ids, architecture), rtol=1e-5, atol=1e-5)
        scored.append(architecture.params)
        nni.report_final_result(-F.binary_cross_entropy_with_logits(logits, label).item())

    def run() -> Any:
        return search(row, trained, RawModelFormatConfig(), tmp_path, evaluate)

    if row.supernet != YES:
        with pytest.raises(ArchitectureError, match="GridSearch fills one dict again and again"):
            run()
        return
    experiment = run()
    assert len(scored) == row.trials
    sample = experiment.export_top_models(formatter="dict")[0]
    assert sample in scored
    assert_trains_alone(sample)


@pytest.mark.filterwarnings("ignore:Direct export from RandomOneShot:UserWarning")
@pytest.mark.parametrize("row", ONE_SHOT, ids=ids_of(ONE_SHOT))
def test_one_shot_strategies_train_and_export(row: OneShot, tmp_path: Path) -> None:
    strategy = make_strategy(row)
    experiment = run_experiment(make_space(), make_evaluator(**row.trainer), strategy, tmp_path)
    network = strategy.supernet.network
    assert all(slice_gradient(parameter) is None for parameter in network.parameters()), "others see gradients again"
    assert network.supernet.training
    fresh = make_strategy(row).mutate_model(make_space()).network.supernet.state_dict()
    trained = network.supernet.state_dict()
    assert any(not torch.equal(trained[name], fresh[name]) for name in fresh)
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    sample = experiment.export_top_models(formatter="dict")[0]
    assert network.supernet.training, "what is frozen has dropout"
    assert_trains_alone(sample)
    # What was frozen has the trained weights.
    frozen, architecture = strategy.supernet.freeze(sample).eval(), tiny_space().from_params(sample)
    dense, ids, _ = make_rows(tiny_schema(), 8).batch(slice(0, 8))
    expected = network.supernet.eval()(dense, ids, architecture)
    torch.testing.assert_close(frozen(dense, ids), expected, rtol=1e-5, atol=1e-5)


def temperatures(folder: Path, **trainer: Any) -> list[float]:
    """Of GumbelDARTS' softmax in each epoch."""
    found: list[float] = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 0:
                found.extend({part.tau for part in module.modules() if isinstance(part, GumbelSoftmax)})

    evaluator = make_evaluator(callbacks=[Watch()], **trainer)
    run_experiment(make_space(), evaluator, nni.nas.strategy.GumbelDARTS(), folder)
    return found


def test_gumbel_darts_cools_down_epoch_by_epoch(tmp_path: Path) -> None:
    row = next(row for row in ONE_SHOT if row.name == "GumbelDARTS")
    assert temperatures(tmp_path, **row.trainer) == pytest.approx([1.0, 1 - 0.67 / 3, 1 - 2 * 0.67 / 3])


@pytest.mark.parametrize(("epochs", "temperature"), [(1, 1.0), (None, 0.33)], ids=["one", "none named"])
def test_gumbel_darts_stays_as_it_is_without_epochs(epochs: int | None, temperature: float, tmp_path: Path) -> None:
    found = temperatures(tmp_path, max_epochs=epochs, max_steps=STEPS)
    assert found
    assert found == pytest.approx([temperature] * len(found))


@pytest.mark.parametrize("name", ["RandomOneShot", "DARTS"])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_bad_batches_are_refused_under_nnis_own_too(name: str, part: str, tmp_path: Path) -> None:
    """They do not hand on the hook that looks at a batch before it moves."""
    rows = make_rows(tiny_schema(), ROWS)
    bad = replace(rows, label=np.where(rows.label > 0, 2, 0).astype(np.float32))
    loaders = (
        TrainingBatches(bad if part == "training" else rows, BATCH, 0, STEPS),
        EvaluationBatches(bad if part == "validation" else rows, BATCH),
    )
    trainer = quiet_trainer(cls=Trainer, max_steps=STEPS, device="cpu", callbacks=[])
    module = ClickEvaluatorModule(TrainingOptions(steps=STEPS, learning_rate=0.1))
    with pytest.raises(DataError, match=r"batch after \d+ steps: .*label"):
        run_experiment(make_space(), Lightning(module, trainer, *loaders), getattr(nni.nas.strategy, name)(), tmp_path)


def test_a_loss_that_is_no_number_ends_a_training_that_nobody_clips(tmp_path: Path) -> None:
    module = ClickEvaluatorModule(TrainingOptions(steps=STEPS, learning_rate=1e30))
    rows = make_rows(tiny_schema(), ROWS)
    trainer = quiet_trainer(cls=Trainer, max_steps=STEPS, device="cpu", callbacks=[])
    evaluator = Lightning(module, trainer, TrainingBatches(rows, BATCH, 0, STEPS), EvaluationBatches(rows, BATCH))
    with pytest.raises(DivergedError, match=r"step \d+ of 12: the loss is .*; the step was not applied"):
        run_experiment(make_space(), evaluator, nni.nas.strategy.RandomOneShot(), tmp_path)


@pytest.mark.skipif(HAS_RL, reason="the extra is installed")
def test_without_the_extra_they_say_what_they_need(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="tianshou"):
        nni.nas.strategy.PolicyBasedRL()
    with pytest.raises(ExtraError, match=r"pip install -e '\.\[rl\]'.*or use NasRecOneShot"):
        run_experiment(make_space(), make_evaluator(), NasRecENAS(), tmp_path)


@pytest.mark.skipif(not HAS_RL, reason="run by make test-rl")
def test_enas_learns_from_the_rewards_of_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards: list[float] = []
    strategy = make_strategy(next(row for row in ONE_SHOT if row.name == "ENAS"))
    configure = strategy.configure_oneshot_module

    def watched(module: Any) -> Any:
        made = configure(module)
        set_model = made.set_model

        def watch(model: Any) -> None:
            set_model(model)
            send = made.generator.send_reward
            made.generator.send_reward = lambda reward: rewards.append(reward) or send(reward)

        made.set_model = watch
        return made

    monkeypatch.setattr(strategy, "configure_oneshot_module", watched)
    run_experiment(make_space(), make_evaluator(max_steps=STEPS + 1), strategy, tmp_path)
    assert len(rewards) == ROWS // BATCH, "one a batch of validation"
    assert all(-5 < reward < 0 for reward in rewards), "NNI maximises"
    assert len(set(rewards)) > 1


@pytest.mark.skipif(not HAS_RL, reason="run by make test-rl")
def test_nnis_own_enas_says_what_to_use(tmp_path: Path) -> None:
    with pytest.raises(NasRecError, match="NasRecENAS"):
        run_experiment(make_space(), make_evaluator(), nni.nas.strategy.ENAS(), tmp_path)


@pytest.mark.parametrize("name", ["DARTS", "GumbelDARTS", "Proxyless"])
def test_two_optimisers_share_the_parameters_and_both_move_theirs(name: str, tmp_path: Path) -> None:
    strategy = getattr(nni.nas.strategy, name)(arc_learning_rate=0.1)
    run_experiment(make_space(), make_evaluator(), strategy, tmp_path)
    network, trainer = strategy.supernet.network, strategy.oneshot_module.trainer
    weights, architecture = ({p for g in o.param_groups for p in g["params"]} for o in trainer.optimizers)
    assert weights == set(network.supernet.parameters())
    assert architecture == set(network.relaxation.parameters())
    start = getattr(nni.nas.strategy, name)().mutate_model(make_space()).network.relaxation.parts
    for label, part in network.relaxation.parts.items():
        assert not torch.equal(part, start[label]), label


def test_darts_learns_which_choice_helps(tmp_path: Path) -> None:
    """The only open choices are the sizes of the block that the logit reads: one number, or enough for the signal."""
    fixed = {"dense_ops": ("fc",), "sparse_ops": ("efc",), "dense_to_sparse": (False,), "fm": (False,)}
    space = tiny_space(blocks=1, dense_dims=(1, 11), sparse_dims=(1, 5), **fixed)
    strategy = nni.nas.strategy.DARTS(arc_learning_rate=0.1)
    run_experiment(NasRecSpace(space, tiny_schema()), make_evaluator(steps=300), strategy, tmp_path)
    probabilities = strategy.oneshot_module.export_probs()
    assert probabilities["block1/dense_dim"][11] > 0.7
    assert probabilities["block1/sparse_dim"][5] > 0.7
    assert strategy.oneshot_module.export() == {"block1/dense_dim": 11, "block1/sparse_dim": 5}


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def test_the_page_has_these_tables() -> None:
    multi_trial = table(
        ("strategy", "each model trained alone", "on a trained supernet", "needs"),
        [(f"`{row.name}`", row.alone, row.supernet, row.needs) for row in MULTI_TRIAL],
    )
    one_shot = table(
        ("strategy", "what a step runs", "what it exports", "needs"),
        [(f"`{row.name}`", row.step, row.export, row.needs) for row in ONE_SHOT],
    )
    page = PAGE.read_text()
    assert multi_trial in page, multi_trial
    assert one_shot in page, one_shot


def test_the_tables_hold_every_strategy_of_nni() -> None:
    names = vars(nni.nas.strategy)
    found = {n for n, value in names.items() if isinstance(value, type) and value.__module__.startswith("nni.")}
    assert found - {"Strategy", "TPEStrategy"} == {row.name for row in (*MULTI_TRIAL, *ONE_SHOT)} - {"NasRecOneShot"}
