"""The contract of NNI one-shot strategies: they train NASRec's space in a `NasExperiment` and export a point of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecSpace
from nasrec_automl.nni_plugin.nas import (
    Lightning,
    NasExperiment,
    NasExperimentConfig,
    Trainer,
    UnlistedExperiment,
    model_context,
)
from nasrec_automl.testing.examples import make_batch, make_rows, tiny_schema, tiny_space
from nasrec_automl.training.lightning import quiet, quiet_trainer
from nasrec_automl.training.module import TrainingOptions

STEPS, BATCH, ROWS = 12, 64, 256


def make_evaluator(*, steps: int = STEPS, fit_kwargs: dict[str, Any] | None = None, **trainer: Any) -> Lightning:
    """NNI's Lightning evaluator on a few generated rows, of so many steps an epoch."""
    rows = make_rows(tiny_schema(), ROWS)
    all_steps = steps * (trainer.get("max_epochs") or 1)
    return Lightning(
        ClickEvaluatorModule(TrainingOptions(steps=all_steps, learning_rate=0.1, clip_norm=5.0, eps=1e-2)),
        quiet_trainer(cls=Trainer, **{"max_steps": steps, "device": "cpu", "callbacks": [], **trainer}),
        TrainingBatches(rows, BATCH, 0, steps),
        EvaluationBatches(rows, BATCH),
        fit_kwargs=fit_kwargs or {},
    )


def run_experiment(space: NasRecSpace, evaluator: Lightning, strategy: Any, folder: Path) -> NasExperiment:
    """Run an experiment in this process, as the pipeline's supernet stage does."""
    config = NasExperimentConfig.default(space, evaluator, strategy)
    config.experiment_working_directory = folder
    experiment = UnlistedExperiment(space, evaluator, strategy, config)
    with quiet():
        try:
            experiment.run()
        finally:
            experiment.stop()
    return experiment


class OneShotStrategyContract:
    """Inherit, and give the fixture `strategy`, a new one-shot strategy each time."""

    @pytest.fixture
    def space(self) -> NasRecSpace:
        """The tiny space, on the tiny schema."""
        return NasRecSpace(tiny_space(), tiny_schema())

    @pytest.fixture
    def experiment(self, space: NasRecSpace, strategy: Any, tmp_path: Path) -> NasExperiment:
        """An experiment that has run."""
        return run_experiment(space, make_evaluator(), strategy, tmp_path)

    def test_it_trains_the_shared_weights(self, strategy: Any, experiment: NasExperiment) -> None:
        """The start values are those of the space's seed, and not what the strategy ends with."""
        trained = strategy.supernet.network.supernet
        space = NasRecSpace(tiny_space(), tiny_schema())  # NNI changes a space into its supernet in place
        fresh = type(strategy)().mutate_model(space).network.supernet
        moved = [not torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in trained.state_dict().items()]
        assert any(moved)
        assert all(torch.isfinite(parameter).all() for parameter in trained.parameters())

    def test_it_exports_an_architecture_of_the_space(self, experiment: NasExperiment) -> None:
        """The sample is the flat form, relative to the space."""
        samples = experiment.export_top_models(formatter="dict")
        assert len(samples) == 1
        space = tiny_space()
        assert space.from_params({label: samples[0][label] for label in space.labels}).params == samples[0]

    def test_a_frozen_model_inherits_the_shared_weights(self, strategy: Any, experiment: NasExperiment) -> None:
        """`freeze` of the trained supernet computes what the supernet does."""
        architecture = tiny_space().from_params(experiment.export_top_models(formatter="dict")[0])
        frozen = strategy.supernet.freeze(architecture.params).eval()
        dense, ids = make_batch(tiny_schema(), 8)
        supernet = strategy.supernet.network.supernet.eval()
        torch.testing.assert_close(
            frozen(dense.float(), ids), supernet(dense.float(), ids, architecture), rtol=1e-5, atol=1e-5
        )

    def test_the_exported_sample_builds_a_subnet(self, experiment: NasExperiment) -> None:
        """NNI's `model_context` makes a stand-alone network of it, with new weights."""
        sample = experiment.export_top_models(formatter="dict")[0]
        with model_context(sample):
            model = NasRecSpace(tiny_space(), tiny_schema())
        assert isinstance(model.network, Subnet)
        assert model.network.architecture.params == sample
