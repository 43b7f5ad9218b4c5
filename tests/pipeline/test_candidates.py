"""What the retrain study chooses among."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline import candidates as module
from nasrec_automl.pipeline.base import Stage
from nasrec_automl.pipeline.candidates import best_trials, candidates, drop_beaten, halved, origins, weights_path
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.search import Hyper
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed

NUMBERS = itertools.count()
RATES = {"optimizer": "adagrad", "learning_rate/adagrad": 0.1, "weight_decay": 0.0, "dropout": 0.0, "batch_size": 128}


def test_every_training_of_every_study_has_a_place_of_its_own(finished_run: RunFolder) -> None:
    hyper = Hyper.of(RATES, finished_run.job.retrain.space)
    changed = (*(replace(hyper, layer_norm=own) for own in (None, True, False)), replace(hyper, embedding_decay=0.0))
    studies = "one", "another"
    paths = {weights_path(finished_run, study, "a", one) for study in studies for one in changed}
    assert len(paths) == 8
    assert paths == {weights_path(finished_run, study, "a", one) for study in studies for one in changed}


def test_the_best_by_key_and_the_hand_designs_by_name(finished_run: RunFolder) -> None:
    space = load_search_space(finished_run.job.space)
    designs = hand_designs(space)
    found = candidates(finished_run)
    top = [space.from_params(params) for params in read_json(finished_run.top)["top"][:2]]
    assert {a.key for a in top} | {d.key for d in designs.values()} == {a.key for a in found.values()}
    assert len({a.key for a in found.values()}) == len(found)
    for name, architecture in found.items():
        assert name == architecture.key or name in designs


def test_a_hand_design_among_the_best_comes_once_and_by_its_name(copied_run: RunFolder) -> None:
    space = load_search_space(copied_run.job.space)
    designs = hand_designs(space)
    write_json(copied_run.top, {"top": [dict(designs["hand-mlp"].params)]})
    assert list(candidates(copied_run)) == ["hand-mlp", *(name for name in designs if name != "hand-mlp")]


def test_the_winner_of_the_run_that_is_continued_is_one_and_trained_to_its_end(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, found = load_search_space(copied_run.job.space), candidates(copied_run)
    winner = next(one for n in range(9) if (one := space.random(np.random.default_rng(n))).key not in found)
    top = read_json(copied_run.top)
    write_json(copied_run.top, {**top, "earlier": [dict(winner.params)]})
    assert list(candidates(copied_run).items())[: len(found) + 1] == [*found.items(), (winner.key, winner)]
    assert origins(copied_run)[winner.key] == "earlier run"
    assert {*origins(copied_run).values()} == {"search", "hand design", "earlier run"}
    monkeypatch.setattr(module, "scores_count", lambda run: False)
    assert winner.key not in halved(copied_run)
    assert {*halved(copied_run)} == {*found} - {*hand_designs(space)}
    assert winner.key not in candidates(changed(copied_run, "budget", macs=1))
    winner_of_both = next(name for name in found if name not in hand_designs(space))
    write_json(copied_run.top, {**top, "earlier": [dict(found[winner_of_both].params)]})
    assert [*candidates(copied_run)] == [*found]
    assert winner_of_both not in halved(copied_run), "though the predictor chose it too"


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


def test_before_the_search_has_ended_there_are_none(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    with pytest.raises(RunFolderError, match=r"the search has not ended; `nasrec-automl status .*` says what is left"):
        candidates(copied_run)


@pytest.mark.parametrize("stage", [RetrainStage(), FinalStage()], ids=lambda stage: stage.name)
def test_a_stage_that_comes_too_early_leaves_no_settings(searching: RunFolder, stage: Stage) -> None:
    with pytest.raises(RunFolderError, match=r"the (search|retrain stage) has not ended"):
        stage.run(searching)
    assert not searching.started(stage.name)
