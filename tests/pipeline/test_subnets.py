"""Which subnets a run keeps, and where."""

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.pipeline.subnets import best_trials, check_subnets, drop_beaten, weights_path
from nasrec_automl.search import Hyper

NUMBERS = itertools.count()
RATES = {"optimizer": "adagrad", "learning_rate/adagrad": 0.1, "weight_decay": 0.0, "dropout": 0.0, "batch_size": 128}


def test_every_training_of_every_study_has_a_place_of_its_own(finished_run: RunFolder) -> None:
    hyper = Hyper.of(RATES, finished_run.job.retrain.space)
    changed = (*(replace(hyper, layer_norm=own) for own in (None, True, False)), replace(hyper, embedding_decay=0.0))
    studies = "one", "another"
    paths = {weights_path(finished_run, study, "a", one) for study in studies for one in changed}
    assert len(paths) == 8
    assert paths == {weights_path(finished_run, study, "a", one) for study in studies for one in changed}


def trial(name: str, value: float, **rates: float) -> SimpleNamespace:
    return SimpleNamespace(
        number=next(NUMBERS),
        params={"architecture": name, **RATES, **rates},
        values=[value],
        user_attrs={"nasrec:step": 1},
    )


def study_of(*trials: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(study_name="retrain", get_trials=lambda **_: trials)


def test_the_best_training_of_each() -> None:
    trials = [trial("a", 0.5), trial("a", 0.4), trial("b", 0.6), trial("a", 0.45)]
    foreign = trial("c", 0.1)
    foreign.user_attrs = {}
    assert best_trials(study_of(*trials, foreign)) == {"a": trials[1], "b": trials[2]}


def test_subnets_that_are_beaten_are_deleted(copied_run: RunFolder) -> None:
    space = copied_run.job.retrain.space
    best, beaten = trial("a", 0.4), trial("a", 0.5, dropout=0.3)

    def path(one: SimpleNamespace) -> Path:
        return weights_path(copied_run, study_of().study_name, one.params["architecture"], Hyper.of(one.params, space))

    other = trial("a-b", 0.3)
    for one in (best, beaten, other):
        path(one).touch()
    assert len({path(best), path(beaten), path(other)}) == 3
    drop_beaten(copied_run, study_of(best, beaten, other))
    assert path(best).exists()
    assert path(other).exists()
    assert not path(beaten).exists()


def test_what_another_worker_finishes_meanwhile_stays(copied_run: RunFolder) -> None:
    first, better = trial("a", 0.5), trial("a", 0.4, dropout=0.3)
    path = weights_path(copied_run, study_of().study_name, "a", Hyper.of(better.params, copied_run.job.retrain.space))
    path.touch()
    reads = itertools.chain([[first]], itertools.repeat([first, better]))
    drop_beaten(copied_run, SimpleNamespace(study_name="retrain", get_trials=lambda **_: next(reads)))
    assert path.exists()


def test_a_network_that_another_worker_has_just_beaten_is_not_missed(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = begun_study(copied_run, "retrain")
    best = best_trials(study)
    name, trial = next(iter(best.items()))
    beaten = copy.copy(trial)
    beaten.params = {**trial.params, "dropout": trial.params["dropout"] + 0.01}
    beaten.number = 1000
    space = copied_run.job.retrain.space
    paths = {weights_path(copied_run, study.study_name, name, Hyper.of(one.params, space)) for one in (trial, beaten)}
    assert len(paths) == 2
    readings = [{**best, name: beaten}, best]
    monkeypatch.setattr("nasrec_automl.pipeline.subnets.best_trials", lambda study: readings.pop(0))
    check_subnets(copied_run, study)
    assert not readings
