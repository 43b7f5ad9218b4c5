from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.sampling import PATH_SAMPLERS, WarmUp, path_sampler
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


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = weights(run(tmp_path / "a", NasRecOneShot(seed=3)))
    torch.manual_seed(2)
    assert torch.equal(weights(run(tmp_path / "b", NasRecOneShot(seed=3))), first)
    assert not torch.equal(weights(run(tmp_path / "c", NasRecOneShot(seed=4))), first)


def test_it_learns(tmp_path: Path) -> None:
    strategy = run(tmp_path, NasRecOneShot(seed=3, warm_up_steps=40), steps=240)
    metrics = strategy.oneshot_module.training_module.metrics
    assert metrics.auc > 0.65


def test_validation_runs_fixed_architectures_one_a_batch(tmp_path: Path) -> None:
    strategy = run(tmp_path, NasRecOneShot(seed=3))
    supernet, rows = strategy.supernet.network.supernet.eval(), make_rows(tiny_schema(), ROWS)
    logits = []
    for number in range(ROWS // BATCH):
        architecture = tiny_space().random(np.random.default_rng([3, 1, number]))
        dense, ids, _ = rows.batch(slice(number * BATCH, (number + 1) * BATCH))
        with torch.no_grad():
            logits.append(supernet(dense, ids, architecture))
    expected = measure(torch.cat(logits), rows.batch(slice(0, ROWS))[2])
    metrics = strategy.oneshot_module.training_module.metrics
    assert metrics.rows == ROWS
    assert metrics.log_loss == pytest.approx(expected.log_loss, rel=1e-5)


def test_gradients_are_clipped_and_the_schedule_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    monkeypatch.setattr(
        "nasrec_automl.training.module.clip_gradients",
        lambda parameters, norm: norms.append((len(list(parameters)), norm)),
    )
    strategy = run(tmp_path, NasRecOneShot())
    assert len(norms) == STEPS
    assert {norm for _, norm in norms} == {5.0}
    assert norms[0][0] == len(list(strategy.supernet.network.supernet.parameters()))
    rate = strategy.oneshot_module.trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0, abs=1e-9), "the cosine has come to its end"


def test_the_export_is_the_best_of_its_candidates(tmp_path: Path) -> None:
    strategy = run(tmp_path, NasRecOneShot(seed=3, export_candidates=4))
    space = tiny_space()
    candidates = [space.random(np.random.default_rng([3, 1, number])) for number in range(4)]
    supernet, (dense, ids, label) = (
        strategy.supernet.network.supernet.eval(),
        make_rows(tiny_schema(), ROWS).batch(slice(0, ROWS)),
    )
    with torch.no_grad():
        losses = [measure(supernet(dense, ids, a), label).log_loss for a in candidates]
    assert strategy.oneshot_module.export() == candidates[int(np.argmin(losses))].params


def test_options_show_in_nnis_logs() -> None:
    assert repr(NasRecOneShot(seed=3)) == (
        "NasRecOneShot(sampling='single-operator', warm_up_steps=0, seed=3, export_candidates=16)"
    )
