"""OptunaEvolution on a trained supernet in a process of its own: `python evolution_run.py FOLDER SECONDS`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import nni
import torch
from nni.nas.evaluator import FunctionalEvaluator

from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace, OptunaEvolution
from nasrec_automl.nni_plugin.nas import NasExperiment, NasExperimentConfig
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.training.metrics import measure

TRIALS = 24


def make_experiment(folder: Path, evaluate: Any, **options: Any) -> NasExperiment:
    """An experiment on a supernet with its start values, which are those of the seed."""
    supernet = NasRecOneShot().mutate_model(NasRecSpace(tiny_space(), tiny_schema()))
    evaluator = FunctionalEvaluator(evaluate)
    fields = {"population_size": 8, "tournament_size": 4, "children": 4, "trials": TRIALS, "seed": 1, **options}
    strategy = OptunaEvolution(storage=f"sqlite:///{folder / 'studies.db'}", **fields)
    config = NasExperimentConfig.default(supernet, evaluator, strategy)
    config.experiment_working_directory = folder / "nni"
    return NasExperiment(supernet, evaluator, strategy, config, id="evolution")


@torch.no_grad()
def log_loss(model: Any) -> float:
    """Of the frozen model, on a few rows."""
    dense, ids, label = make_rows(tiny_schema(), 100).batch(slice(0, 100))
    return measure(model.eval()(dense, ids), label).log_loss


def main(folder: str, seconds: str) -> None:
    def evaluate(model: Any) -> None:
        print("begun", flush=True)
        time.sleep(float(seconds))
        nni.report_final_result({"default": -log_loss(model)})  # NNI maximises

    experiment = make_experiment(Path(folder), evaluate)
    experiment.run_or_resume()
    experiment.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
