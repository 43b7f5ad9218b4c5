"""Stage `tune`, which no other needs: settings of the supernet's training, judged by rank correlation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import BudgetConfig, DataConfig
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError, StudyError
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.progress import ProgressWriter, counting_time
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.settings import training_settings
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.status import TUNE_TRUTH
from nasrec_automl.pipeline.studies import make_study, study_trials, why_no_more
from nasrec_automl.pipeline.supernet import SupernetStage, supernet_label
from nasrec_automl.pipeline.truth import sample_sizes, train_truth
from nasrec_automl.ranking import FEWEST_RANKED, kendall_tau
from nasrec_automl.search import TrialOutcome
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.ledger import Reached
from nasrec_automl.search.task import ENDED
from nasrec_automl.search.trainings import count_trained
from nasrec_automl.search.tune import TUNED, tune


class TuneStage(Stage):
    """Trains some architectures from scratch, then one supernet a trial, and compares the two orders.

    It belongs to no job's chain and changes nothing of it: what it finds is for the job's `supernet` section.
    """

    name = "tune"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Judged supernets and the job's number of them."""
        total = run.job.tune.trials
        return min(len(tuned(run)), total), total

    def _left_nothing(self, run: RunFolder) -> bool:
        # Until then there are trainings from scratch alone, and those of other settings are in another study.
        return not run.progress(self.name).is_file()

    def tidy(self, run: RunFolder) -> None:
        """Delete supernets that are judged, of starts that were killed before they could too."""
        for left in _folder(run).glob("*"):
            shutil.rmtree(left, ignore_errors=True)

    def devices(self, run: RunFolder) -> int:
        """Those of its supernets."""
        return run.job.devices

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
            **training_settings(run),
        }

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        job, config = run.job, run.job.tune
        truth, label = _trained(run)
        done, total = self.units(run)
        progress = ProgressWriter(run.progress(self.name), unit="supernets", total=total, done=done)
        study = make_study(run, "tune")

        def judge(key: str, settings: Mapping[str, float], reached: Reached) -> TrialOutcome:
            folder = _folder(run) / key
            supernet = job.supernet.model_copy(update={**settings, "epochs": config.epochs or job.supernet.epochs})
            data = DataConfig(source="prepared", input=run.data)
            # A supernet is of the whole space, so that no budget matters here.
            update = {"run_folder": folder, "data": data, "supernet": supernet, "storage": job.storage_url}
            update["budget"] = BudgetConfig()
            own = RunFolder(job.model_copy(update=update))

            def validated(metrics: Mapping[str, float]) -> None:
                # The study maximises.
                reached(read_json(own.curve)[-1]["step"], -metrics["log_loss"])

            SupernetStage(lambda: label).run(own, on_metrics=validated)
            evaluator = make_evaluator(own)
            scores = np.array([evaluator.evaluate(architecture).log_loss for architecture, _ in truth])
            finite = np.isfinite(scores)
            if finite.sum() < FEWEST_RANKED:
                raise DivergedError(f"its last step: {finite.sum()} of {len(truth)} scores are finite numbers")
            # All settings are judged by the same architectures: what has no score is the worst, as it is for a search.
            comparable = np.where(finite, scores, np.finfo(np.float64).max)
            tau = kendall_tau(comparable, np.array([log_loss for _, log_loss in truth]))
            attrs = {"architectures": len(truth), "log_loss": float(comparable.min())}
            return TrialOutcome(value=0.0 if np.isnan(tau) else tau, attrs=attrs)

        def on_trial(trial: FrozenTrial) -> None:
            # Its supernet has the size of the job's; not before the study has the outcome.
            shutil.rmtree(_folder(run) / trial.user_attrs[KEY], ignore_errors=True)
            progress.update(len(tuned(run)), _note(run))
            on_metrics(_metrics(run))

        start = {name: getattr(job.supernet, name) for name in TUNED}
        storage = study_storage(job.storage_url)
        tune(study, judge, storage=storage, config=config, start=start, seed=job.seed, on_trial=on_trial)
        judged = len(tuned(run))
        if judged < total:  # of single values and choices there may be no more
            note = ", ".join(filter(None, (_note(run), why_no_more(study, judged, total, None))))
            path = run.progress(self.name)
            ProgressWriter(path, unit="supernets", total=judged, done=judged).update(judged, note)
        self.tidy(run)
        return _metrics(run)


def tune_supernet(run: RunFolder, *, view: AbstractContextManager[None] | None = None) -> None:
    """Prepare the data of a job where they are not, and run the stage, as the folder's owner.

    Args:
        run: the run folder.
        view: entered once the job is accepted.
    """
    run_job(run, (DataStage(), TuneStage()), view=view)


def tuned(run: RunFolder) -> list[FrozenTrial]:
    """The judged supernets, the best first; those whose training diverged have no value and come last."""
    return sorted(study_trials(run, "tune", ENDED), key=lambda trial: -trial.values[0] if trial.values else np.inf)


def _metrics(run: RunFolder) -> dict[str, float]:
    """The best tau so far."""
    taus = [trial.values[0] for trial in tuned(run) if trial.values]
    return {"tau": max(taus)} if taus else {}


def _note(run: RunFolder) -> str:
    return "".join(f"best tau {tau:.2f}" for tau in _metrics(run).values())


def _folder(run: RunFolder) -> Path:
    return run.path / "tune"


def _trained(run: RunFolder) -> tuple[list[tuple[Architecture, float]], NDArray[np.float32] | None]:
    """What is trained from scratch once for all trials.

    Returns:
        Architectures of all sizes with their log losses on the hpo part, and the labels that supernets learn from.

    Raises:
        StudyError: too few of the trainings ended well.
    """
    architectures, study = sample_sizes(run, run.job.tune.architectures), make_study(run, "tune-truth")
    progress = ProgressWriter(
        run.progress(TUNE_TRUTH),
        unit="trainings",
        total=len(architectures),
        done=count_trained(study, architectures, 1),
    )
    folder = _folder(run) / "truth"

    with counting_time(progress.path):  # the stage counts its own
        label = supernet_label(run, tell=lambda words: progress.update(0, words))
        trained = train_truth(
            run, "tune-truth", architectures, 1, (Part.HPO,), folder=folder, on_progress=progress.update
        )
    losses = trained[:, 0]
    shutil.rmtree(folder, ignore_errors=True)
    found = [(a, float(loss)) for a, loss in zip(architectures, losses, strict=True) if np.isfinite(loss)]
    if len(found) < FEWEST_RANKED:
        raise StudyError(
            f"{len(found)} of {len(architectures)} trainings from scratch ended well, and a rank needs "
            f"{FEWEST_RANKED}: raise tune.architectures, or lower the default of retrain.space.learning_rate"
        )
    return found, label
