"""The studies of a run, and what the stages that drive one share."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.budget import LATENCY
from nasrec_automl.config_types import in_seconds
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError, StudyError
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import retrain_study_name
from nasrec_automl.pipeline.databases import is_made, open_database, study_storage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.settings import retrain_settings, search_settings, training_digest
from nasrec_automl.pipeline.status import retrain_outcome
from nasrec_automl.search import open_study
from nasrec_automl.search.admission import Admission, Admits
from nasrec_automl.search.attributes import KEY, WEIGHTS_HASH, WORKER
from nasrec_automl.search.census import seconds_spent
from nasrec_automl.search.database import database_errors, patiently, shown_url
from nasrec_automl.search.storage import hold_to_identity
from nasrec_automl.search.task import ENDED
from nasrec_automl.space import load_search_space

_SETTINGS = "settings"
"""Of a study's identity: a hash of its stage's settings. A database that runs share may have a study of this name from
a folder with others."""

Trainings = Literal["rank", "verdict", "teachers", "tune-truth"]
"""What trainings by labels alone are for: `rank`, the check of the search's scores, hand designs to teach, tuning."""

Kind = Literal["search", "retrain", "tune"] | Trainings
"""What a study of a run is about. Values are log losses, in several objectives with costs beside them; of `tune` they
are Kendall's taus. A stage's work makes studies; whoever asks how far the run is only reads."""


def _study(run: RunFolder, kind: Kind, *, make: bool) -> optuna.Study | None:
    """Open a study, a copy whose sampler is the caller's. One that has no trials is made, or else is none.

    Raises:
        RunFolderError: it has no trials, and the study of a stage that has ended has none either: the database is
            another one.
        StudyError: the study of this name is about something else, or the database cannot be used.
    """
    url, name = run.job.storage_url, _name(run, kind)
    if not make and not is_made(url):  # who asks makes no file
        _check_ended(run, lambda _: False)
        return None
    database = open_database(url)
    storage = database.storage
    with database.lock, database_errors(storage):
        if (known := database.known(name)) is not None and (make or database.has_trials(name)):
            patiently(storage, partial(hold_to_identity, known, _identity(run, kind), **_options(run, kind)))
            return copy.copy(known)
        if not database.has_trials(name):
            _check_ended(run, database.has_trials)
            if not make:
                return None
        made = open_study(storage, name=name, identity=_identity(run, kind), **_options(run, kind))
        database.studies[name] = made
    return copy.copy(made)


def _name(run: RunFolder, kind: Kind) -> str:
    if kind == "search":
        return search_study_name(run)
    if kind == "retrain":
        return retrain_study_name(run)
    # Supernets of other settings of the stage, which has begun, are in another study.
    return f"{run.job.name}-tune-{run.settings_digest('tune')}" if kind == "tune" else trainings_study_name(run, kind)


def _identity(run: RunFolder, kind: Kind) -> dict[str, str]:
    """What the study is about, as in `open_study`. Scores and what they chose are of one supernet."""
    identity = {"stage": kind, "data": PreparedData.open(run.data).fingerprint}
    if kind != "retrain":
        identity["space"] = load_search_space(run.job.space).name
    if kind in ("search", "retrain"):
        settings = search_settings(run) if kind == "search" else retrain_settings(run)
        identity |= {"supernet": run.settings_digest("supernet"), _SETTINGS: run.settings_digest(kind, settings)}
    return identity


def _options(run: RunFolder, kind: Kind) -> dict[str, Any]:
    """What else `open_study` is told of a study of this kind."""
    if kind == "search":
        return {"objectives": run.job.search.objectives}
    return {"direction": "maximize"} if kind == "tune" else {}


def _check_ended(run: RunFolder, has_trials: Callable[[str], bool]) -> None:
    """Raise RunFolderError where the study of a stage that has ended is missing, or empty."""
    noted = retrain_outcome(run)
    names = []
    if run.top.is_file():
        names.append(search_study_name(run))
    if noted is not None:
        names.append(noted.study)
    for name in names:
        if not has_trials(name):
            raise _missing(run, name)


def _missing(run: RunFolder, name: str) -> RunFolderError:
    return RunFolderError(
        f"{run.path}: the run has ended a stage, but there is no trial of its study {name!r} in "
        f"{shown_url(run.job.storage_url)}: put the database back, or set the `storage` of before, or copy the "
        "study (optuna.copy_study), or run the job in another run_folder"
    )


def search_study_name(run: RunFolder) -> str:
    """Name of the search's study."""
    return f"{run.job.name}-search"


def begun_study(run: RunFolder, kind: Kind) -> optuna.Study:
    """A study that has trials.

    Raises:
        RunFolderError: it is missing, or has none; for "retrain" also where the search has not ended.
        StudyError: the study of this name is about something else, or the database cannot be used.
    """
    study = found_study(run, kind)
    if study is None:
        name, url = _name(run, kind), shown_url(run.job.storage_url)
        raise RunFolderError(
            f"{run.path}: there is no study {name!r} in {url}, or it has no trials; `{run.status_command}` says how "
            "far the run is"
        )
    return study


def found_study(run: RunFolder, kind: Kind) -> optuna.Study | None:
    """A study, where there is one that has trials.

    Raises:
        RunFolderError: a stage has ended, and its study is missing: the database is another one.
        StudyError: the study of this name is about something else, or the database cannot be used.
    """
    return _study(run, kind, make=False)


def study_trials(run: RunFolder, kind: Kind, states: Collection[TrialState] | None = None) -> list[FrozenTrial]:
    """Trials of a study, not to be changed; none where there is no study.

    Args:
        run: whose study it is.
        kind: of the study.
        states: of the trials; all by default.

    Raises:
        RunFolderError: a stage has ended, and its study is missing: the database is another one.
        StudyError: the study of this name is about something else, or the database cannot be used.
    """
    study = found_study(run, kind)
    if study is None:
        return []
    storage = study_storage(run.job.storage_url)
    with database_errors(storage):
        return patiently(storage, partial(study.get_trials, deepcopy=False, states=states))


def make_study(run: RunFolder, kind: Kind) -> optuna.Study:
    """A study, made where it is missing: from here on, its settings are those of now.

    Raises:
        RunFolderError: a stage has ended, and its study is missing: the database is another one.
        StudyError: the study of this name is about something else, or the database cannot be used.
    """
    study = _study(run, kind, make=True)
    assert study is not None  # it was made
    return study


def hold_to_weights(run: RunFolder, study: optuna.Study) -> None:
    """Hold the study of a search to the weights that its first scores are of.

    Raises:
        StudyError: its scores are of other weights, with which new ones do not compare.
    """
    with run.weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def held() -> str:
        if WEIGHTS_HASH not in study.user_attrs or not study.get_trials(deepcopy=False, states=ENDED):
            study.set_user_attr(WEIGHTS_HASH, found)
        return str(study.user_attrs[WEIGHTS_HASH])

    if patiently(study_storage(run.job.storage_url), held) != found:
        raise StudyError(
            f"the study {study.study_name!r} has scores of another supernet than that of {run.weights}: one that is "
            "trained again, elsewhere or by another version, has other weights. Put the earlier file there, or give "
            "the job another `name` and run_folder"
        )


def search_admission(run: RunFolder, *, measure: bool = True) -> Admits:
    """Says which trials of the search are inside the job's budget.

    Args:
        run: whose data are prepared.
        measure: whether a latency that has a limit is measured where it is not known yet, in this process and with its
            threads; else such a trial is not inside.
    """
    budget = job_budget(run)
    admits = Admission(load_search_space(run.job.space), budget)
    if measure or LATENCY not in budget.limits:
        return admits
    return lambda trial: run.latency(str(trial.user_attrs.get(KEY))).is_file() and admits(trial)


def scored_trials(study: optuna.Study, admits: Admits) -> list[FrozenTrial]:
    """Trials of the search that have a score and are inside the budget, by number."""
    return list(filter(admits, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))))


def trainings_study_name(run: RunFolder, kind: Trainings) -> str:
    """The name of such a study: trainings of one name depend on the same settings, and learn from the same rows."""
    space = load_search_space(run.job.space).model_dump(mode="json")
    return f"{run.job.name}-{kind}-{digest(json.dumps([training_digest(run), space], sort_keys=True))}"


def why_no_more(study: optuna.Study, finished: int, target: int, timeout: str | None) -> str:
    """Why a stage that has ended has fewer trials than the job asks for; nothing where it has as many."""
    if finished >= target:
        return ""
    late = timeout is not None and sum(map(seconds_spent, study.get_trials(deepcopy=False))) >= in_seconds(timeout)
    return f"no more after {timeout}" if late else "nothing new was found to try"


def stage_ended(study: optuna.Study, *, finished: int, target: int, mine: int, count: int | None) -> bool:
    """Whether a study has its trials, or can get no more: a worker without peers stopped short of its own limit.

    Args:
        study: the study.
        finished: its finished trials.
        target: how many it is to have.
        mine: how many this worker finished.
        count: how many it was to finish at most.
    """
    if finished >= target:
        return True
    ran_out = count is None or mine < count
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    # What was asked for by hand may never end.
    return ran_out and not any(WORKER in trial.user_attrs for trial in running)
