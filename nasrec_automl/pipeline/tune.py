"""Stage `tune`, which no other needs: settings of the supernet's training, judged by rank correlation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import kendalltau

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import DataConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.errors import DivergedError, StudyError
from nasrec_automl.evaluation.sample import one_of_each_size
from nasrec_automl.pipeline.base import Report, Stage
from nasrec_automl.pipeline.candidates import default_hyper, train_candidate
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import make_evaluator
from nasrec_automl.pipeline.studies import study_storage, tune_study
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.search import Finished
from nasrec_automl.search.tune import TUNED, settings_of, tune
from nasrec_automl.space import load_search_space

_FEWEST = 3
"""Architectures without which there is no rank to speak of."""


class TuneStage(Stage):
    """Trains some architectures from scratch, then one supernet a trial, and compares the two orders.

    It belongs to no job's chain and changes nothing of it: what it finds is for the job's `supernet` section.
    """

    name = "tune"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Judged supernets and the job's number of them."""
        total = run.job.tune.trials
        return min(len(tuned(run)), total), total

    def has_begun(self, run: RunFolder) -> bool:
        """A trained architecture is work done too, and so is one whose training has a checkpoint."""
        return any(_folder(run).glob("*")) or super().has_begun(run)

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The tune section, but for the number of trials, and what trainings and scores depend on."""
        section = run.job.tune.model_dump(mode="json", exclude={"trials"}, exclude_none=True)
        supernet = SupernetStage().settings(run)
        for name in TUNED if run.job.tune.epochs is None else (*TUNED, "epochs"):
            del supernet[f"supernet.{name}"]
        head = {"search.head": run.job.search.head.model_dump(mode="json"), "search.max_rows": run.job.search.max_rows}
        return {
            **{f"tune.{key}": value for key, value in section.items()},
            **supernet,
            **head,
            **RetrainStage().settings(run),
        }

    def _run(self, run: RunFolder, count: int | None, report: Report) -> dict[str, float]:
        job, config, study = run.job, run.job.tune, tune_study(run)
        truth = _truth(run)
        done, total = self.units(run)
        progress = ProgressWriter(run.progress(self.name), stage=self.name, unit="supernets", total=total, done=done)

        def rank(key: str, settings: Mapping[str, float]) -> tuple[float, Mapping[str, Any]]:
            folder = _folder(run) / key
            supernet = job.supernet.model_copy(update={**settings, "epochs": config.epochs or job.supernet.epochs})
            data = DataConfig(source="prepared", input=run.data)
            own = RunFolder(job.model_copy(update={"run_folder": folder, "data": data, "supernet": supernet}))
            try:
                SupernetStage().run(own)
            except DivergedError:
                shutil.rmtree(folder)
                raise
            evaluator = make_evaluator(own)
            scores = [evaluator.evaluate(architecture).log_loss for architecture, _ in truth]
            tau = float(kendalltau(scores, [log_loss for _, log_loss in truth]).statistic)
            shutil.rmtree(folder)  # its supernet has the size of the job's
            return (0.0 if np.isnan(tau) else tau), {"architectures": len(truth), "log_loss": min(scores)}

        def on_trial(finished: Finished) -> None:
            best = max((trial.values[0] for trial in tuned(run) if trial.values), default=None)
            note = "" if best is None else f"best tau {best:.2f}"
            progress.update(finished.done, note)
            report({} if best is None else {"tau": best})

        start = {name: getattr(job.supernet, name) for name in TUNED}
        storage = study_storage(job.storage_url)
        tune(study, rank, storage=storage, config=config, start=start, seed=job.seed, on_trial=on_trial)
        best = max((trial.values[0] for trial in tuned(run) if trial.values), default=None)
        return {} if best is None else {"tau": best}


def tune_supernet(run: RunFolder) -> None:
    """Prepare the data of a job where they are not, and run the stage, as the folder's owner."""
    with run.lock():
        for stage in (DataStage(), TuneStage()):
            stage.check(run)
        run.create()
        for stage in (DataStage(), TuneStage()):
            if not stage.is_done(run):
                stage.run(run)


def tuned(run: RunFolder) -> list[FrozenTrial]:
    """The judged supernets, the best first; those whose training diverged have no value and come last."""
    trials = tune_study(run).get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=lambda trial: -trial.values[0] if trial.values else np.inf)


def trial_settings(trial: FrozenTrial, run: RunFolder) -> dict[str, float]:
    """The supernet's settings of a trial, by the job's names."""
    return settings_of(trial.params, run.job.tune)


def _folder(run: RunFolder) -> Path:
    return run.path / "tune"


def _truth_path(run: RunFolder) -> Path:
    return _folder(run) / "truth.json"


def _truth(run: RunFolder) -> list[tuple[Architecture, float]]:
    """Architectures of all sizes with their log losses on the hpo part, each trained from scratch once for all trials.

    Raises:
        StudyError: too few of the trainings ended well.
    """
    job, path = run.job, _truth_path(run)
    known: dict[str, float | None] = read_json(path) or {}
    schema = PreparedData.open(run.data).schema(job.embedding_dim)
    architectures = one_of_each_size(load_search_space(job.space), schema, job.tune.architectures, seed=job.seed)
    hyper = default_hyper(job)
    progress = ProgressWriter(
        run.progress("tune-truth"), stage="tune-truth", unit="trainings", total=len(architectures), done=len(known)
    )
    for number, architecture in enumerate(architectures, 1):
        if architecture.key not in known:
            checkpoint = _folder(run) / f"{architecture.key}.ckpt"
            try:
                trained = train_candidate(run, architecture, hyper, lambda step, metrics: False, checkpoint=checkpoint)
                assert trained.metrics is not None
                known[architecture.key] = trained.metrics.log_loss
            except DivergedError:
                known[architecture.key] = None
            write_json(path, known)
        progress.update(number)
    found = [(a, log_loss) for a in architectures if (log_loss := known[a.key]) is not None]
    if len(found) < _FEWEST:
        raise StudyError(
            f"{len(found)} of {len(architectures)} trainings from scratch ended well, and a rank needs {_FEWEST}: "
            "raise tune.architectures, or lower the default of retrain.space.learning_rate"
        )
    return found
