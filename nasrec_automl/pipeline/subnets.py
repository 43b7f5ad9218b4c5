"""The subnets that a run's trainings keep, one for the best training of each candidate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import is_ours
from nasrec_automl.search.hyper import ARCHITECTURE


def weights_path(run: RunFolder, study_name: str, name: str, hyper: Hyper) -> Path:
    """Where the subnet of one training is kept. A run may have several retrain studies, and each its own subnets."""
    return run.retrained / f"{name}-{digest(json.dumps([study_name, asdict(hyper)]))}.safetensors"


def trial_weights(run: RunFolder, study: optuna.Study, trial: FrozenTrial) -> Path:
    """The same of a trial of the retrain study."""
    hyper = Hyper.of(trial.params, run.job.retrain.space)
    return weights_path(run, study.study_name, trial.params[ARCHITECTURE], hyper)


def checkpoint_path(run: RunFolder, study_name: str, name: str, hyper: Hyper) -> Path:
    """Where one training leaves what its next attempt goes on from."""
    return weights_path(run, study_name, name, hyper).with_suffix(".ckpt")


def best_trials(study: optuna.Study) -> dict[str, FrozenTrial]:
    """The best finished training of each candidate; trials that others added have no subnet and do not count."""
    return _best(_trainings(study))


def _best(trainings: list[FrozenTrial]) -> dict[str, FrozenTrial]:
    best: dict[str, FrozenTrial] = {}
    for trial in trainings:
        name = trial.params[ARCHITECTURE]
        if name not in best or trial.values[0] < best[name].values[0]:
            best[name] = trial
    return best


def best_log_loss(study: optuna.Study) -> float | None:
    """The best log loss of the study; nothing while no training has ended well."""
    return min((trial.values[0] for trial in _trainings(study)), default=None)


def check_subnets(run: RunFolder, study: optuna.Study) -> None:
    """Raise RunFolderError unless the subnet of each candidate's best training is in the folder."""

    def missing() -> set[int]:
        return {trial.number for trial in best_trials(study).values() if not trial_weights(run, study, trial).is_file()}

    # Twice: another worker may just have beaten one, and dropped its subnet.
    if missing() & missing():
        raise networks_missing(run, study.study_name)


def networks_missing(run: RunFolder, study_name: str) -> RunFolderError:
    """The error that a study has trainings, and the folder not their subnets."""
    return RunFolderError(
        f"{run.path}: the study {study_name!r} has trainings whose networks are not here, as of a folder that "
        "was deleted, or another one; give the job another `name` and run_folder, or delete the run's studies (see "
        "`optuna delete-study --help`)"
    )


def drop_beaten(run: RunFolder, study: optuna.Study) -> None:
    """Delete the subnets of finished trainings that a better one of their candidate has beaten: tables are large."""
    # Read once: what another worker finishes meanwhile may be the best of its candidate.
    trainings = _trainings(study)
    # By file: a copy of a trial that somebody added has the file of the trial.
    kept = {trial_weights(run, study, trial) for trial in _best(trainings).values()}
    there = {*run.retrained.glob("*.safetensors")}  # of nearly all that were beaten nothing is left
    for path in there.intersection(trial_weights(run, study, trial) for trial in trainings) - kept:
        path.unlink(missing_ok=True)


def _trainings(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if is_ours(trial) and ARCHITECTURE in trial.params]
