"""The studies of a run, and what the stages that drive one share."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.budget import LATENCY
from nasrec_automl.config_types import in_seconds
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError, StudyError
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import retrain_study_name
from nasrec_automl.pipeline.earlier import continued
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import training_lengths
from nasrec_automl.search import open_storage, open_study
from nasrec_automl.search.admission import Admission, Admits
from nasrec_automl.search.attributes import KEY, WEIGHTS_HASH, WORKER
from nasrec_automl.search.census import seconds_spent
from nasrec_automl.search.database import database_errors, parse_url, patiently, shown_url
from nasrec_automl.search.storage import check_identity
from nasrec_automl.search.task import ENDED
from nasrec_automl.space import load_search_space

AMONG_SEVERAL = {"top_k", "trials", "timeout", "pruner"}
"""What of the retrain section no training depends on by itself."""

_OF_TEACHERS = {"teachers", "teacher_share"}
"""What trainings by labels alone do not depend on."""

_OF_FINAL = {"final_seeds"}
"""What the final stage alone reads of the retrain section."""

_SETTINGS = "settings"
"""Of a study's identity: a hash of its stage's settings. A database that runs share may have a study of this name from
a folder with others."""

Trainings = Literal["rank", "verdict", "teachers", "tune-truth"]
"""What trainings by labels alone are for: `rank`, the check of the search's scores, hand designs to teach, tuning."""

Kind = Literal["search", "retrain", "tune"] | Trainings
"""Of the studies of a run. A stage's work makes them; whoever asks how far the run is only reads."""


@dataclass
class _Opened:
    """A database that this process has opened, which file it is, and the studies that were opened in it by name."""

    storage: RDBStorage
    file: tuple[int, int] | None
    studies: dict[str, optuna.Study] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_opened: dict[str, _Opened] = {}
_OPENING = threading.Lock()
"""Two threads would open a database each."""


def study_storage(url: str) -> RDBStorage:
    """The database, opened once a process.

    Again, where its file is another one: a run folder may be deleted in a notebook that goes on.
    """
    return _database(url).storage


def _database(url: str) -> _Opened:
    with _OPENING:
        if url in _opened:
            opened = _opened[url]
            if opened.file == _file_of(url):
                return opened
            opened.storage.remove_session()
            opened.storage.engine.dispose()
        storage = open_storage(url)
        _opened[url] = _Opened(storage, _file_of(url))
        return _opened[url]


def _study(run: RunFolder, kind: Kind, *, make: bool) -> optuna.Study | None:
    """Open a study; where it is missing, make it or return nothing.

    A study reads what has changed since it read last, but everything at first: minutes, in a tuner that asks for it at
    each decision. So each is kept as it was opened, and what is returned is a copy, whose sampler is the caller's.

    Raises:
        RunFolderError: it has no trials, nor has one that a stage has ended: the database is another one.
        StudyError: the study of this name is about something else.
    """
    opened, name = _database(run.job.storage_url), _name(run, kind)
    storage = opened.storage
    with opened.lock, database_errors(storage):
        known = opened.studies.get(name)
        if known is not None and patiently(storage, partial(_is_there, known, storage)):
            patiently(storage, partial(check_identity, known, _identity(run, kind), **_options(run, kind)))
            return copy.copy(known)
        if not patiently(storage, partial(_has_trials, storage, name)):
            _check_ended(run, storage)
        if not make and not patiently(storage, partial(_is_named, storage, name)):
            return None
        known = open_study(storage, name=name, identity=_identity(run, kind), **_options(run, kind))
        opened.studies[name] = known
    return copy.copy(known)


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
    """Its other arguments."""
    if kind == "search":
        return {"objectives": run.job.search.objectives}
    return {"direction": "maximize"} if kind == "tune" else {}


def _is_named(storage: RDBStorage, name: str) -> bool:
    try:
        storage.get_study_id_from_name(name)
    except KeyError:
        return False
    return True


def _has_trials(storage: RDBStorage, name: str) -> bool:
    try:
        storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(name), 0)
    except KeyError:
        return False
    return True


def _is_there(study: optuna.Study, storage: RDBStorage) -> bool:
    """Whether a study that was opened before is still this one, and not deleted, or made anew under the same ids."""
    try:
        study_id = storage.get_study_id_from_name(study.study_name)
        trials = study.get_trials(deepcopy=False)
        first = storage.get_trial_id_from_study_id_trial_number(study_id, 0) if trials else None
        return first is None or storage.get_trial(first).datetime_start == trials[0].datetime_start
    except KeyError:
        return False


def _file_of(url: str) -> tuple[int, int] | None:
    """What tells the file of an SQLite database from every other one that there is now."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or not Path(parsed.database).is_file():
        return None
    found = Path(parsed.database).stat()
    return found.st_dev, found.st_ino


def _check_ended(run: RunFolder, storage: RDBStorage) -> None:
    """Raise RunFolderError where a study that a stage has ended is missing, or empty."""
    noted = read_json(run.retrain_done)
    names = []
    if run.top.is_file():
        names.append(search_study_name(run))
    if noted is not None:
        names.append(noted["study"])
    for name in names:
        if not patiently(storage, partial(_has_trials, storage, name)):
            raise _missing(run, name)


def _missing(run: RunFolder, name: str) -> RunFolderError:
    return RunFolderError(
        f"{run.path}: the run has ended a stage, but there is no trial of its study {name!r} in "
        f"{shown_url(run.job.storage_url)}: put the database back, or set the `storage` of before, or copy the "
        "study (optuna.copy_study), or run the job in another run_folder"
    )


def search_settings(run: RunFolder) -> dict[str, Any]:
    """The search section, but for what may grow, architectures and timeout, and what a latency that counts is of."""
    job = run.job
    section = job.search.model_dump(mode="json", exclude={"architectures", "timeout"})
    timed = {
        "device": job.device,
        "budget.batch_size": job.budget.batch_size,
        "whether a training may have LayerNorm": job.retrain.may_layer_norm,
    }
    return {
        **{f"search.{key}": value for key, value in section.items()},
        **(timed if LATENCY in job.search.objectives else {}),
        "precision": job.precision,
        **continued(run, "search"),
    }


def retrain_settings(run: RunFolder) -> dict[str, Any]:
    """The retrain section, but for what may grow, trainings and timeout, and for what the final stage alone reads."""
    section = run.job.retrain.model_dump(mode="json", exclude={"trials", "timeout", "space", *_OF_FINAL})
    space = run.job.retrain.space.model_dump(mode="json", exclude_none=True)
    return {
        **{f"retrain.{key}": value for key, value in {**section, **training_lengths(run)}.items()},
        **{f"retrain.space.{key}": value for key, value in space.items()},
        "precision": run.job.precision,
    }


def final_settings(run: RunFolder) -> dict[str, Any]:
    """What the final stage alone reads of the retrain section."""
    section = run.job.retrain.model_dump(mode="json", include=_OF_FINAL)
    return {f"retrain.{key}": value for key, value in section.items()}


def training_settings(run: RunFolder) -> dict[str, Any]:
    """What one training by labels alone with the default hyper-parameters depends on, of the retrain section."""
    beside = {f"retrain.{name}" for name in (*AMONG_SEVERAL, *_OF_TEACHERS)}
    return {name: value for name, value in retrain_settings(run).items() if name not in beside}


def search_study_name(run: RunFolder) -> str:
    """Name of the search's study."""
    return f"{run.job.name}-search"


def search_study(run: RunFolder) -> optuna.Study:
    """The study of a search that has begun.

    Raises:
        RunFolderError: it is missing.
    """
    return _there(run, "search")


def retrain_study(run: RunFolder) -> optuna.Study:
    """The study of the trainings from scratch, which have begun.

    Raises:
        RunFolderError: it is missing, or the search has not ended.
    """
    return _there(run, "retrain")


def found_study(run: RunFolder, kind: Kind) -> optuna.Study | None:
    """A study where there is one.

    Raises:
        RunFolderError: a stage has ended, and its study is missing: the database is another one.
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
    """
    study = found_study(run, kind)
    return [] if study is None else study.get_trials(deepcopy=False, states=states)


def make_search_study(run: RunFolder) -> optuna.Study:
    """The study of the search, made where it is missing: from here on, its settings are those of now."""
    return _made(run, "search")


def make_retrain_study(run: RunFolder) -> optuna.Study:
    """The study of the trainings from scratch, made where it is missing, as in `make_search_study`."""
    return _made(run, "retrain")


def tune_study(run: RunFolder) -> optuna.Study:
    """The study of the supernet's settings, made where it is missing. It maximises Kendall's tau."""
    return _made(run, "tune")


def trainings_study(run: RunFolder, kind: Trainings) -> optuna.Study:
    """A study of trainings from scratch by labels alone, with their default hyper-parameters; made if missing."""
    return _made(run, kind)


def _there(run: RunFolder, kind: Kind) -> optuna.Study:
    study = found_study(run, kind)
    if study is None:
        raise _missing(run, _name(run, kind))
    return study


def _made(run: RunFolder, kind: Kind) -> optuna.Study:
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
    """The name of such a study: trainings of one name depend on the same settings."""
    job = run.job
    beside = {*AMONG_SEVERAL, *_OF_TEACHERS, *_OF_FINAL}
    settings = {
        "retrain": {
            **job.retrain.model_dump(mode="json", exclude=beside),
            **training_lengths(run),
        },
        "space": load_search_space(job.space).model_dump(mode="json"),
        "embedding_dim": job.embedding_dim,
        "precision": job.precision,
        "seed": job.seed,
    }
    return f"{job.name}-{kind}-{digest(json.dumps(settings, sort_keys=True))}"


def why_no_more(study: optuna.Study, finished: int, target: int, timeout: str | None) -> str:
    """Why a stage that has ended has fewer trials than the job asks for; nothing where it has as many."""
    if finished >= target:
        return ""
    late = timeout is not None and sum(map(seconds_spent, study.get_trials(deepcopy=False))) >= in_seconds(timeout)
    return f"no more after {timeout}" if late else "there are no others"


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
