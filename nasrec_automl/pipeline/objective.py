"""The search's objective, for anybody's Optuna study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna

from nasrec_automl.errors import CheckpointError
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import load_evaluator
from nasrec_automl.search.attributes import KEY, PREFIX
from nasrec_automl.search.distributions import distributions, suggest
from nasrec_automl.search.worker import score_attrs


def objective(run_folder: str | Path) -> Callable[[optuna.Trial], float]:
    """An objective over the trained supernet of a run: suggests an architecture, returns its log loss to minimise.

    It suggests the labels of the run's space as the search stage does, so that it also serves the run's own
    study, scores on the same rows with the same head, and sets the same user attributes (`nasrec:key`,
    `nasrec:auc`, `nasrec:macs`, ...). It reads all rows of every architecture, prunes nothing, and only reads the
    run folder. Threads (`n_jobs`) share one supernet; pickled, it goes to other processes, each of which loads
    its own.

    Args:
        run_folder: of a job whose supernet stage is done.

    Returns:
        What `study.optimize` takes.

    Raises:
        RunFolderError: it is no run folder.
        CheckpointError: its supernet is not trained yet; when first called, that it is not of the job's space
            and data.
    """
    run = RunFolder.open(run_folder)
    if not run.weights.is_file():
        raise CheckpointError(
            f"{run.path}: the supernet is not trained yet (no {run.weights.name}); run `nasrec-automl run JOB` with "
            f"the job file of {run.job.name!r}, at least until its search begins"
        )
    return _Objective(run)


@dataclass(frozen=True)
class _Objective:
    run: RunFolder

    def __call__(self, trial: optuna.Trial) -> float:
        evaluator = load_evaluator(self.run)
        space = evaluator.supernet.space
        params = {name: suggest(trial, name, choices) for name, choices in distributions(space).items()}
        architecture = space.from_params(params)
        trial.set_user_attr(KEY, architecture.key)
        score = evaluator.evaluate(architecture)
        for name, value in {**job_budget(self.run).costs(architecture), **score_attrs(score)}.items():
            trial.set_user_attr(f"{PREFIX}{name}", value)
        return score.log_loss
