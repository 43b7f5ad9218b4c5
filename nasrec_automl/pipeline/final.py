"""Stage `final`: choose the winner, train it on validation rows too, and measure it once on test."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import optuna
import torch

from nasrec_automl.budget import MACS, PARAMETERS
from nasrec_automl.config import DEFAULT_STORAGE
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import VALIDATION, Part
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError, StudyError
from nasrec_automl.evaluation.paired import auc_difference_error, log_loss_difference_error
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, choice_parts
from nasrec_automl.pipeline.files import newest, read_json, write_json
from nasrec_automl.pipeline.final_baselines import FittedBaseline, final_baselines
from nasrec_automl.pipeline.final_training import (
    FINAL_TEACHER,
    Contender,
    final_teachers,
    taught_finally,
    train_final,
)
from nasrec_automl.pipeline.last_trainings import left_by
from nasrec_automl.pipeline.model_folder import write_model
from nasrec_automl.pipeline.outcomes import FinalOutcome, NotedContender, RetrainOutcome
from nasrec_automl.pipeline.progress import ProgressWriter, read_progress
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import trained_profile, with_settings
from nasrec_automl.pipeline.settings import final_settings
from nasrec_automl.pipeline.status import STAGE_NAMES, final_is_noted, search_is_noted
from nasrec_automl.pipeline.studies import begun_study, search_study_name
from nasrec_automl.pipeline.subnets import best_trials, trial_weights, weights_path
from nasrec_automl.pipeline.teachers import teachers
from nasrec_automl.report import calibration_bins
from nasrec_automl.search import Hyper
from nasrec_automl.search.database import shown_url
from nasrec_automl.training.metrics import log_losses, measure, targets

_logger = logging.getLogger(__name__)


class FinalStage(Stage):
    """The only stage that reads test, and it does so once, when search and retrain stage have ended."""

    name = "final"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """One unit: the result of the present retrain study."""
        return int(final_is_noted(run)), 1

    def resume_mark(self, run: RunFolder) -> tuple[int, int]:
        """The time of what its trainings left last too: there is one unit only, and they take long."""
        done, _ = self.units(run)
        trained = [*left_by(run.final_trainings), *run.retrained.glob(f"{FINAL_TEACHER}*")]
        return done, newest(trained)

    def _left_nothing(self, run: RunFolder) -> bool:
        return not left_by(run.final_trainings) and not final_is_noted(run)

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """How many final trainings there are."""
        return final_settings(run)

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        if self.is_done(run):
            self.tidy(run)
            measured: dict[str, float] = read_json(run.result)["test"]
            return measured
        unfinished = "search" if not search_is_noted(run) else "" if RetrainStage().is_done(run) else "retrain"
        if unfinished:  # test would be read for trainings of which more are to come
            raise RunFolderError(
                f"{run.path}: the {unfinished} stage has not ended; `{run.status_command}` says what is left"
            )
        progress = ProgressWriter(run.progress(self.name), unit="parts", total=4, even=False)
        data = PreparedData.open(run.data, test=True)
        # Before the contenders: what a worker of a job that has grown trains meanwhile is none of them.
        chosen_among, study = RetrainOutcome.of_ended(run.retrain_done), begun_study(run, "retrain")
        contenders, errors = _contenders(run, study, data, on_metrics)
        winner = contenders[0]
        progress.update(1, f"winner {winner.name}")

        first, tell = teachers(run), partial(progress.update, 1)
        last = final_teachers(run, first, run.final_trainings, workers=workers, tell=tell)
        # Not beside those of the retrain stage, which workers that come late clear away.
        files = run.final_trainings / weights_path(run, study.study_name, winner.name, winner.hyper).stem
        subnet = train_final(run, winner, taught_finally(run, first, last), files, workers=workers, tell=tell)
        progress.update(2, f"{winner.name} trained")
        # Last, since what has been fitted is not kept: a stage that is killed seldom fits them twice.
        fitted = final_baselines(run, data, tell=partial(progress.update, 2))
        progress.update(3, "baselines fitted")

        measured, baselines, noted = _measure_on_test(run, data, subnet, fitted)
        run.final.unlink(missing_ok=True)  # of the model that is replaced
        write_model(subnet.cpu(), run.data / PREPROCESSING_FILE, run.best, asdict(with_settings(run.job, winner.hyper)))
        progress.update(4, f"test log loss {measured['log_loss']:.4f}, AUC {measured['auc']:.4f}")
        write_json(run.result, _result(run, study, data, winner, measured, baselines))
        # Last: it says which retrain study the result is of.
        outcome = FinalOutcome(
            retrain=chosen_among,
            winner=winner.name,
            chosen_on=list(choice_parts(run)),
            measured_rows=measured_rows(data),
            teachers=[*first],
            final_teachers=[*last],
            contenders=[
                _noted(run, data, contender, error) for contender, error in zip(contenders, errors, strict=True)
            ],
            **noted,
        )
        outcome.write(run.final)
        self.tidy(run)  # not before: killed until here, the stage goes on with them
        return measured

    def tidy(self, run: RunFolder) -> None:
        """Delete what the trainings have left, of final stages that were killed too."""
        shutil.rmtree(run.final_trainings, ignore_errors=True)


def _measure_on_test(
    run: RunFolder, data: PreparedData, subnet: Subnet, fitted: Sequence[FittedBaseline]
) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, Any]]:
    """Log loss and AUC of the winner, what the result says of each baseline, and what `final.json` says of test."""
    # Before: killed from here on, it reads them again.
    readings = 1 + (read_json(run.test_readings) or 0)
    write_json(run.test_readings, readings)
    test = data.part(Part.TEST)
    logits, (label, weight) = predict_logits(subnet.to(run.job.device), test), targets(test)
    weights = None if weight is None else weight.double().numpy()
    losses, baselines = log_losses(logits, label).numpy(), []
    for baseline in fitted:
        its = baseline.model.logits(test)
        log_loss_error = log_loss_difference_error(log_losses(its, label).numpy(), losses, weights)
        auc_error = auc_difference_error(label.numpy(), its.numpy(), logits.numpy(), weights)
        baselines.append(
            {
                "name": baseline.name,
                "rows": baseline.rows,
                "validation": baseline.validation,
                "test": measure(its, label, weight).quality,
                "test_less_winner_error": {"log_loss": log_loss_error, "auc": auc_error},
            }
        )
    noted = {
        "test_readings": readings,
        "calibration": [asdict(each) for each in calibration_bins(label, torch.sigmoid(logits).numpy(), weights)],
    }
    return measure(logits, label, weight).quality, baselines, noted


def _result(
    run: RunFolder,
    study: optuna.Study,
    data: PreparedData,
    winner: Contender,
    test: dict[str, float],
    baselines: list[dict[str, Any]],
) -> dict[str, Any]:
    job, budget = run.job, job_budget(run)
    return {
        "dataset": data.name,
        "architecture": dict(winner.architecture.params),
        "key": winner.architecture.key,
        "hyper_parameters": asdict(with_settings(run.job, winner.hyper)),
        "validation": winner.metrics.quality,
        "test": test,
        **contender_costs(run, data, winner),
        **({"budget": run.noted_budget} if budget.limits else {}),
        "storage": shown_url(job.storage) if job.storage else DEFAULT_STORAGE,
        "studies": [search_study_name(run), study.study_name],
        "seconds": _seconds(run),
        "baselines": baselines,
    }


def _contenders(
    run: RunFolder, study: optuna.Study, data: PreparedData, on_metrics: OnMetrics
) -> tuple[list[Contender], list[float | None]]:
    """The best training of every candidate, best first on the rows of the choice; `on_metrics` hears of each.

    Returns:
        The contenders, and the standard error of the log loss of each less the winner's; None of the winner.
    """
    architectures = {name: candidate.architecture for name, candidate in candidates(run).items()}
    choice = data.part(*choice_parts(run))
    label, weight = targets(choice)
    weights = None if weight is None else weight.double().numpy()
    found, losses = [], {}
    for name, trial in best_trials(study).items():
        subnet = load_subnet(trial_weights(run, study, trial))
        logits = predict_logits(subnet.to(run.job.device), choice)
        metrics, losses[name] = measure(logits, label, weight), log_losses(logits, label).numpy()
        if not math.isfinite(metrics.log_loss):
            _logger.warning("%s is left out: its log loss on the rows of the choice is %s", name, metrics.log_loss)
            continue
        on_metrics(metrics.quality)
        found.append(Contender(name, architectures[name], Hyper.of(trial.params, run.job.retrain.space), metrics))
    if not found:
        raise StudyError(
            f"no training of the study {study.study_name!r} ended well; "
            "lower retrain.space.learning_rate, in another run_folder"
        )
    first, *others = sorted(found, key=lambda contender: contender.metrics.log_loss)
    errors = [log_loss_difference_error(losses[other.name], losses[first.name], weights) for other in others]
    return [first, *others], [None, *errors]


def measured_rows(data: PreparedData) -> str:
    """Digest of the labels of validation and test, however features are read: runs of others do not compare."""
    parts = data.description.parts
    return digest(
        "".join(shard.checksums["label"] for part in (*VALIDATION, Part.TEST) for shard in parts[part].shards)
    )


def _noted(run: RunFolder, data: PreparedData, contender: Contender, error: float | None) -> NotedContender:
    return NotedContender(
        name=contender.name,
        validation=contender.metrics.quality,
        less_winner_error=error,
        **contender_costs(run, data, contender),
    )


def contender_costs(run: RunFolder, data: PreparedData, contender: Contender) -> dict[str, float]:
    """What a contender costs: counted as it was trained, with the latency where the job's budget measures one."""
    own = trained_profile(run.job, data, contender.architecture, contender.hyper)
    return {**job_budget(run).costs(contender.architecture), MACS: own.macs, PARAMETERS: own.parameters}


def _seconds(run: RunFolder) -> dict[str, float]:
    spent = {}
    for stage in STAGE_NAMES[:-1]:
        progress = read_progress(run.progress(stage))
        if progress is not None:
            spent[stage] = round(progress.seconds, 1)
    return spent
