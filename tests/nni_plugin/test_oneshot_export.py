from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from nni.nas.execution import SequentialExecutionEngine
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import RidgeHead
from nasrec_automl.data.batches import EvaluationBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, SpaceError
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.network import Supernet
from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import Lightning, RawFormatModelSpace
from nasrec_automl.nni_plugin.oneshot_export import WholeModelEvaluator, best_architectures
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.randomness import rng_for
from nasrec_automl.testing.examples import make_rows, move_vectors, tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import make_evaluator, run_experiment
from nasrec_automl.training.seed import seeded


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    with seeded(0):
        supernet = Supernet(tiny_space(), tiny_schema(), layer_norm=True)
    move_vectors(supernet)
    return supernet


ROWS = make_rows(tiny_schema(), 600, seed=5)


def search(supernet: Supernet, **options: Any) -> list[Architecture]:
    loader = EvaluationBatches(ROWS, 128)
    return list(best_architectures(supernet, loader, **{"most": 3, "scored": 16, "seed": 2, **options}))


def test_the_best_come_first_and_no_two_have_one_key(supernet: Supernet) -> None:
    best = search(supernet, most=20, scored=16)
    assert len(best) == len({architecture.key for architecture in best}) == 20
    order = rng_for("halves for heads and scores", 2).permutation(len(ROWS))
    parts = [Rows(ROWS.dense[i], ROWS.ids[i], ROWS.label[i]) for i in (order[:300], order[300:])]
    evaluator = WeightSharingEvaluator(
        supernet, head_rows=parts[0], score_rows=parts[1], head=RidgeHead(), seed=2, early_stop=0
    )
    losses = [evaluator.evaluate(architecture).log_loss for architecture in best]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_fewer_are_the_first_of_more(supernet: Supernet) -> None:
    assert search(supernet, most=1) == search(supernet, most=3)[:1] == search(supernet, most=16)[:1]


def test_equal_seeds_find_the_same(supernet: Supernet) -> None:
    assert search(supernet) == search(supernet)
    assert search(supernet, seed=3) != search(supernet)


def test_any_loader_of_batches_will_do(supernet: Supernet) -> None:
    dense, ids, label = ROWS.batch(slice(0, len(ROWS)))
    weighted = DataLoader(TensorDataset(dense, ids, label, torch.ones_like(label)), batch_size=50)
    assert list(best_architectures(supernet, weighted, most=3, scored=16, seed=2)) == search(supernet)


@pytest.mark.parametrize("form", [lambda loader: [loader], lambda loader: {"a": [loader]}], ids=["list", "dict"])
def test_lightnings_collections_of_loaders_are_read(supernet: Supernet, form: Any) -> None:
    loaders = form(EvaluationBatches(ROWS, 128))
    assert list(best_architectures(supernet, loaders, most=3, scored=16, seed=2)) == search(supernet)


def test_every_loader_of_a_list_is_read(supernet: Supernet) -> None:
    halves = [EvaluationBatches(ROWS.take(np.arange(start, start + 300)), 128) for start in (0, 300)]
    assert list(best_architectures(supernet, halves, most=3, scored=16, seed=2)) == search(supernet)


def test_a_loader_may_have_no_length(supernet: Supernet) -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(EvaluationBatches(ROWS, 128))

    loader = DataLoader(Stream(), batch_size=None)
    assert list(best_architectures(supernet, loader, most=3, scored=16, seed=2)) == search(supernet)


def test_weights_of_the_loader_count(supernet: Supernet) -> None:
    weighted = EvaluationBatches(replace(ROWS, weight=ROWS.label * 50 + 0.1), 128)
    assert list(best_architectures(supernet, weighted, most=16, scored=16, seed=2)) != search(supernet, most=16)


@pytest.mark.parametrize("loader", [None, []])
def test_without_validation_rows_it_says_what_to_give(supernet: Supernet, loader: Any) -> None:
    with pytest.raises(DataError, match="val_dataloaders gave 0: expected at least 2"):
        best_architectures(supernet, loader, most=1, scored=4, seed=0)


class Batches(pl.LightningDataModule):
    """The loaders of an evaluator as Lightning's data module."""

    def __init__(self, evaluator: Lightning) -> None:
        super().__init__()
        self.loaders = evaluator.train_dataloaders, evaluator.val_dataloaders

    def train_dataloader(self) -> Any:
        return self.loaders[0]

    def val_dataloader(self) -> Any:
        return self.loaders[1]


def test_loaders_of_a_data_module_are_the_same(tmp_path: Path) -> None:
    found = []
    for wrapped in (False, True):
        strategy, evaluator = NasRecOneShot(seed=3, export_candidates=8), make_evaluator()
        if wrapped:
            evaluator = Lightning(evaluator.module, evaluator.trainer, datamodule=Batches(evaluator))
        experiment = run_experiment(NasRecSpace(tiny_space(), tiny_schema()), evaluator, strategy, tmp_path)
        weights = strategy.supernet.network.supernet.state_dict()
        found.append((experiment.export_top_models(3, formatter="dict"), weights))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


def test_nnis_export_shows_the_best_with_their_shared_weights(tmp_path: Path) -> None:
    strategy = NasRecOneShot(seed=3, export_candidates=8)
    space = tiny_space()
    evaluator = make_evaluator()
    evaluator.val_dataloaders = [evaluator.val_dataloaders]
    experiment = run_experiment(NasRecSpace(space, tiny_schema()), evaluator, strategy, tmp_path)
    samples = experiment.export_top_models(3, formatter="dict")
    expected = best_architectures(
        strategy.supernet.network.supernet, evaluator.val_dataloaders, most=3, scored=8, seed=3
    )
    assert samples == [dict(a.params) for a in expected]
    assert experiment.export_top_models(1, formatter="dict") == samples[:1]
    models = experiment.export_top_models(3, formatter="instance")
    assert [model.network.architecture for model in models] == [*expected]
    assert [model.metrics.final for model in strategy.list_models(limit=3)] == [-loss for loss in expected.values()]
    assert len(list(strategy.list_models(limit=None))) == 8


@pytest.mark.parametrize("trained_on", ["cuda:1", "mps", "cpu"])
def test_the_search_runs_on_the_gpu_of_the_training(monkeypatch: pytest.MonkeyPatch, trained_on: str) -> None:
    strategy, evaluator = NasRecOneShot(export_candidates=2), make_evaluator()
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), evaluator)
    strategy.initialize(space, SequentialExecutionEngine())
    seen: list[str] = []
    monkeypatch.setattr(type(evaluator.trainer.strategy), "root_device", torch.device(trained_on))
    monkeypatch.setattr(strategy.supernet, "to", lambda device: seen.append(str(device)))

    def fail(*args: Any, **options: Any) -> dict[Architecture, float]:
        seen.append("search")
        raise DataError("no rows")

    monkeypatch.setattr("nasrec_automl.nni_plugin.oneshot.best_architectures", fail)
    with pytest.raises(DataError, match="no rows"):
        next(strategy.list_models())
    where = trained_on if trained_on == "cuda:1" else "cpu"
    assert seen == [where, "search", "cpu"]


class Column(nn.Module):
    """Gives logits as a column."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = SharedNetwork(tiny_space(), tiny_schema(), NetworkOptions())

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        logits: Tensor = self.shared(dense, ids)
        return logits.unsqueeze(1)


def test_a_whole_model_that_gives_no_logit_a_row_is_named() -> None:
    evaluator = WholeModelEvaluator(Column(), make_rows(tiny_schema(), 5))
    with pytest.raises(SpaceError, match=r"whole Column, .* one logit a row, but it returned \(5, 1\) for 5 rows"):
        evaluator.evaluate(tiny_space().random(np.random.default_rng(0)))
