"""Stage `retrain`: the best architectures and the hand designs from scratch, driven by a second study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.heartbeat import LOST_AFTER
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.candidates import Candidate, candidates, halved, retrain_study_name
from nasrec_automl.pipeline.check_trainings import drop_kept
from nasrec_automl.pipeline.dashboard import publish
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.files import newest
from nasrec_automl.pipeline.final_training import FINAL_TEACHER
from nasrec_automl.pipeline.outcomes import RetrainOutcome, SearchOutcome
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.report import report_content
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import (
    has_teachers,
    most_validations,
    progress_at,
    step_in_words,
    train_by_job,
)
from nasrec_automl.pipeline.settings import retrain_settings
from nasrec_automl.pipeline.status import retrain_is_noted
from nasrec_automl.pipeline.studies import make_study, stage_ended, study_trials, why_no_more
from nasrec_automl.pipeline.subnets import (
    best_log_loss,
    check_subnets,
    checkpoint_path,
    drop_beaten,
    trial_weights,
    weights_path,
)
from nasrec_automl.pipeline.teachers import resume_mark_of_teachers, taught_label
from nasrec_automl.search import Hyper, TrialOutcome, retrain
from nasrec_automl.search.attributes import STEP, is_ours
from nasrec_automl.search.database import patiently
from nasrec_automl.search.hyper import ARCHITECTURE
from nasrec_automl.search.retrain import Prune
from nasrec_automl.search.stale import why_stale
from nasrec_automl.search.task import ENDED
from nasrec_automl.training.metrics import Metrics


class RetrainStage(Stage):
    """Trains candidates on train and head rows, measured on the hpo part, until the study has enough trainings."""

    name = "retrain"
    parallel = True

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Finished trainings and the job's number of them."""
        total = run.job.retrain.trials
        if not run.top.is_file():
            return 0, total
        total = max(total, len(candidates(run)))
        noted = RetrainOutcome.read(run.retrain_done)
        of_these = noted is not None and noted.target >= total and noted.study == retrain_study_name(run)
        if of_these and retrain_is_noted(run):
            return total, total
        return min(len(study_trials(run, "retrain", ENDED)), total - 1), total

    def resume_mark(self, run: RunFolder) -> tuple[int, ...]:
        """A training that has come further is work done too, one of a teacher among them."""
        ended, _ = self.units(run)
        saved = newest(run.retrained.glob("*.ckpt"))
        return ended, saved, *resume_mark_of_teachers(run)

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The name and the retrain section, but for the number of trainings and the timeout, which may grow."""
        return {"name": run.job.name, **retrain_settings(run)}

    def _left_nothing(self, run: RunFolder) -> bool:
        return not run.top.is_file()  # without candidates no other process leaves anything either

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        job, config = run.job, run.job.retrain
        known = candidates(run)
        study = make_study(run, "retrain")
        _name_study(run, study.study_name)
        check_subnets(run, study)
        done, total = self.units(run)
        progress = ProgressWriter(run.progress(self.name), unit="trainings", total=total, done=done)
        trainings = _Trainings(run, study, known, progress, on_metrics)
        if trainings.ended < total:
            _ = trainings.label  # before any trial, which would count its teachers' time as its own
        mine = retrain(
            study,
            list(known),
            trainings.train,
            storage=study_storage(job.storage_url),
            config=config,
            validations=most_validations(run),
            seed=job.seed,
            taught=has_teachers(job),
            halved=halved(run),
            references=[name for name, one in known.items() if one.origin == "hand design"],
            count=count,
            on_trial=trainings.on_trial,
        )
        finished = trainings.ended
        if stage_ended(study, finished=finished, target=total, mine=mine, count=count):
            _drop_unfinished(run, study)
            publish(run, lambda: report_content(run))
            ended = RetrainOutcome(study=study.study_name, target=total, timeout=config.timeout, trainings=finished)
            ended.write(run.retrain_done)
            figures = (_note(study), why_no_more(study, finished, total, config.timeout))
            progress.update(finished, ", ".join(filter(None, figures)), ended=True)
        best = best_log_loss(study)
        return {} if best is None else {"log_loss": best}


class _Trainings:
    """Trains candidates for the study, and tells of it.

    Args:
        run: whose search has ended.
        study: of the trainings.
        known: the candidates by name.
        progress: told of each validation and each end.
        on_metrics: given the metrics of each validation.
    """

    def __init__(
        self,
        run: RunFolder,
        study: optuna.Study,
        known: Mapping[str, Candidate],
        progress: ProgressWriter,
        on_metrics: OnMetrics,
    ) -> None:
        self._run, self._study, self._known = run, study, known
        self._progress, self._on_metrics = progress, on_metrics
        self._storage = study_storage(run.job.storage_url)

    @property
    def ended(self) -> int:
        """How many have ended, from the study: others may train too."""
        return len(patiently(self._storage, lambda: self._study.get_trials(deepcopy=False, states=ENDED)))

    @cached_property
    def label(self) -> NDArray[np.float32] | None:
        """What candidates learn from; teachers that are not trained yet are trained for it."""
        return taught_label(self._run, tell=self._tell)

    def train(self, name: str, hyper: Hyper, prune: Prune) -> TrialOutcome:
        """Train a candidate as a `TrainCandidate` of the retrain study."""
        run, architecture = self._run, self._known[name].architecture
        validations, reached = most_validations(run), 0

        def on_validation(step: int, metrics: Metrics) -> bool:
            nonlocal reached
            self._on_metrics(metrics.quality)
            before, reached = reached, progress_at(run, hyper, step)
            for place in range(before + 1, reached + 1):  # others may be compared with it at any of these
                if prune(place, metrics.log_loss) and reached < validations:
                    return True
            self._tell_best(step_in_words(run, hyper, step))
            return False

        checkpoint = checkpoint_path(run, self._study.study_name, name, hyper)
        trained = train_by_job(run, architecture, hyper, on_validation, checkpoint=checkpoint, label=self.label)
        if not trained.stopped:  # what is pruned is no contender
            save_network(trained.subnet, weights_path(run, self._study.study_name, name, hyper))
        attrs = {
            "auc": trained.metrics.auc,
            "standard_error": trained.metrics.standard_error,
            STEP: trained.step,
        }
        state = TrialState.PRUNED if trained.stopped else TrialState.COMPLETE
        return TrialOutcome(value=trained.metrics.log_loss, state=state, attrs=attrs)

    def on_trial(self, trial: FrozenTrial) -> None:
        """Called once the study has the outcome: what only the training itself needed goes."""
        hyper = Hyper.of(trial.params, self._run.job.retrain.space)
        checkpoint_path(self._run, self._study.study_name, trial.params[ARCHITECTURE], hyper).unlink(missing_ok=True)
        drop_beaten(self._run, self._study)
        self._tell_best()

    def _tell(self, *words: str) -> None:
        self._progress.update(self.ended, ", ".join(filter(None, words)))

    def _tell_best(self, *words: str) -> None:
        self._tell(patiently(self._storage, lambda: _note(self._study)), *words)


def _name_study(run: RunFolder, name: str) -> None:
    """Name the study of the candidates, which since the search ended may be others: `retrain.top_k` could be edited."""
    searched = SearchOutcome.of_ended(run.top)
    if searched.retrain != name:
        searched.model_copy(update={"retrain": name}).write(run.top)


def _drop_unfinished(run: RunFolder, study: optuna.Study) -> None:
    """Delete what trainings that failed too often, or were killed, have left; other workers may do so at once.

    Whoever was asked for more trainings may still be at one.
    """
    storage = study_storage(run.job.storage_url)
    running = patiently(storage, lambda: study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    at_work = [
        trial_weights(run, study, trial).stem
        for trial in running
        if is_ours(trial) and ARCHITECTURE in trial.params and why_stale(trial, lost_after=LOST_AFTER) is None
    ]
    for pattern in ("*.ckpt", ".*.ckpt.*.partial", ".*.safetensors.*.partial"):
        for left in run.retrained.glob(pattern):
            is_of_named = left.name.startswith(f".{FINAL_TEACHER}")  # which `retrain_named` may be writing
            if not is_of_named and not any(stem in left.name for stem in at_work):
                left.unlink(missing_ok=True)
    drop_kept(run)


def _note(study: optuna.Study) -> str:
    best = best_log_loss(study)
    return "" if best is None else f"best log loss {best:.4f}"
