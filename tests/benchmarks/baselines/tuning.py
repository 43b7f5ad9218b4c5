"""Tuning of a baseline for so many seconds: hpo scores trials, search and choice rows the best; test stays closed.

The study is in SQLite in the run's folder, and goes on where it was stopped.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.errors import DivergedError, RunFolderError
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.randomness import seed_for
from nasrec_automl.search import open_study
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.pruning import KeyedHyperband
from nasrec_automl.search.task import ENDED, key_of
from nasrec_automl.search.tpe import tpe
from nasrec_automl.training.metrics import measure, targets
from tests.benchmarks.baselines.method import Method

_STARTUP = 8
"""Trials before TPE learns."""
_FINALISTS = 5
"""The best on hpo that meet on search and choice rows: as in our final stage, the choice is among few."""


@dataclass(frozen=True)
class Winner:
    """What tuning chose.

    Attributes:
        params: of the method.
        length: of its training.
        hpo: log loss there.
        choice: log loss on search and choice rows.
        trials: how many there were, pruned ones included.
        seconds: that they took together.
        budget: the seconds that they had.
    """

    params: dict[str, Any]
    length: float
    hpo: float
    choice: float
    trials: int
    seconds: float
    budget: float


def tune(method: Method, data: PreparedData, folder: Path, *, seconds: float, seed: int) -> Winner:
    """Tune a method, or read what tuning chose before, in as much time or more.

    No trial starts after its time, and one that runs then ends at its next validation.

    Args:
        method: what to tune.
        data: open without test.
        folder: for the study and the winner.
        seconds: for all trials together; at least one is run to its end.
        seed: of TPE and of the trainings.

    Raises:
        RunFolderError: it was tuned before, in less time.
    """
    path = folder / f"{method.name}.json"
    known = read_json(path)
    if known is not None and known["budget"] >= seconds:
        return Winner(**known)
    if known is not None:
        raise RunFolderError(
            f"{path}: {method.name} was tuned for {known['budget']:.0f} s, but {seconds:.0f} s are asked for, and test "
            f"may have been read since: ask for {known['budget']:.0f} s at most, or remove {folder} to begin again"
        )
    study = _open(method, data, folder)
    spent = _seconds(study)
    while True:
        finished = len(study.get_trials(deepcopy=False, states=ENDED))
        if finished and (spent >= seconds or finished == method.trials):
            break
        spent += _trial(method, data, study, left=seconds - spent, number=finished, seed=seed)
    best = sorted(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), key=lambda trial: trial.value)
    chosen = min(best[:_FINALISTS], key=lambda trial: trial.user_attrs["choice"])
    length, choice = chosen.user_attrs["length"], chosen.user_attrs["choice"]
    winner = Winner(chosen.params, length, chosen.value, choice, finished, round(spent, 1), seconds)
    write_json(path, asdict(winner))
    return winner


def _trial(method: Method, data: PreparedData, study: optuna.Study, *, left: float, number: int, seed: int) -> float:
    """Run a trial; return its seconds."""
    start = time.monotonic()
    study.sampler = tpe(seed_for("TPE of a baseline", seed, number), startup=_STARTUP)
    trial = study.ask()
    method.suggest(trial)
    trial.set_user_attr(KEY, key_of(trial.params))
    pruned = False

    def report(validation: int, log_loss: float) -> bool:
        nonlocal pruned
        trial.report(log_loss, validation)
        pruned = number > 0 and trial.should_prune()  # the first has the defaults, and is the one to compare with
        return pruned or (number > 0 and time.monotonic() - start > left)

    rows, hpo, choice = data.part(*TRAINING), data.part(Part.HPO), data.part(Part.SEARCH, Part.CHOICE)
    try:
        fitted = method.fit(trial.params, rows, hpo, seed=seed, report=report)
    except DivergedError:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        if not pruned:
            trial.set_user_attr("choice", measure(fitted.logits(choice), *targets(choice)).log_loss)
            trial.set_user_attr("length", fitted.length)
            study.tell(trial, measure(fitted.logits(hpo), *targets(hpo)).log_loss)
        else:
            study.tell(trial, state=TrialState.PRUNED)
    return time.monotonic() - start


def _open(method: Method, data: PreparedData, folder: Path) -> optuna.Study:
    storage = study_storage(f"sqlite:///{folder / 'studies.db'}")
    study = open_study(storage, name=method.name, identity={"stage": "baseline", "data": data.fingerprint})
    config = method.job.retrain
    rows = sum(data.rows(part) for part in TRAINING)
    hyperband = KeyedHyperband(config.epochs(rows) * config.validations(rows))
    study.pruner = hyperband if config.pruner == "hyperband" else NopPruner()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # of a process that was stopped
        study.tell(trial.number, state=TrialState.FAIL)
    if not study.get_trials(deepcopy=False, states=ENDED):
        study.enqueue_trial(method.defaults)
    return study


def _seconds(study: optuna.Study) -> float:
    return sum(map(_duration, study.get_trials(deepcopy=False, states=ENDED)))


def _duration(trial: FrozenTrial) -> float:
    assert trial.duration is not None
    return trial.duration.total_seconds()
