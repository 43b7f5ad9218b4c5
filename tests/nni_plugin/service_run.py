"""`OptunaEvolution` through NNI's own training service, as docs/nni.md says: `service_run.py FOLDER PORT TRIALS`.

FOLDER/data are prepared data of more rows than NNI would send.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecSpace, OptunaEvolution
from nasrec_automl.nni_plugin.nas import Lightning, NasExperiment, Trainer
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.training.module import TrainingOptions

STEPS = 8


def make_space(folder: Path) -> NasRecSpace:
    return NasRecSpace(tiny_space(), PreparedData.open(folder / "data").schema(embedding_dim=8))


def make_evaluator(folder: Path) -> Lightning:
    data = PreparedData.open(folder / "data")
    return Lightning(
        ClickEvaluatorModule(TrainingOptions(steps=STEPS, learning_rate=0.1)),
        Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False),
        TrainingBatches(data.part("train", "head"), batch_size=512, seed=0, steps=STEPS),
        EvaluationBatches(data.part("search"), batch_size=4096),
    )


def main(folder: Path, port: int, trials: int) -> None:
    strategy = OptunaEvolution(
        storage=f"sqlite:///{folder}/studies.db", trials=trials, population_size=2, tournament_size=2, children=2
    )
    experiment = NasExperiment(make_space(folder), make_evaluator(folder), strategy)
    experiment.config.experiment_working_directory = folder / "nni"
    experiment.config.trial_concurrency = 2
    experiment.config.trial_gpu_number = 0
    experiment.run(port=port)
    best = experiment.export_top_models(formatter="dict")[0]
    experiment.stop()
    torch.save({label: best[label] for label in tiny_space().labels}, folder / "best.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
