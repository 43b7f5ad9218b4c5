"""`OptunaEvolution` through NNI's own training service: `service_run.py FOLDER PORT`."""

import sys
from pathlib import Path

import nni
import torch
from nni.nas.evaluator import FunctionalEvaluator

from nasrec_automl.nni_plugin import NasRecSpace, OptunaEvolution
from nasrec_automl.nni_plugin.nas import NasExperiment
from nasrec_automl.testing.examples import make_batch, tiny_schema, tiny_space


def evaluate(model: NasRecSpace) -> None:
    """What a trial's process runs; its result says which architecture it had."""
    dense, ids = make_batch(tiny_schema(), 3)
    assert model(dense.float(), ids).shape == (3,)
    nni.report_final_result(-sum(p.numel() for p in model.parameters()) / 1e4)  # NNI maximises


def main(folder: Path, port: int) -> None:
    strategy = OptunaEvolution(
        storage=f"sqlite:///{folder}/studies.db", trials=4, population_size=2, tournament_size=2, children=2
    )
    space = NasRecSpace(tiny_space(), tiny_schema())
    experiment = NasExperiment(space, FunctionalEvaluator(evaluate), strategy)
    experiment.config.experiment_working_directory = folder / "nni"
    experiment.config.trial_concurrency = 2
    experiment.config.trial_gpu_number = 0
    experiment.config.max_trial_number = 12
    experiment.run(port=port)
    best = experiment.export_top_models(formatter="dict")[0]
    experiment.stop()
    torch.save({label: best[label] for label in tiny_space().labels}, folder / "best.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
