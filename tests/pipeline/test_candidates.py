"""What the retrain study chooses among."""

import numpy as np
import pytest

from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline import candidates as module
from nasrec_automl.pipeline.base import Stage
from nasrec_automl.pipeline.candidates import Candidate, candidates, halved
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def test_the_best_by_key_and_the_hand_designs_by_name(finished_run: RunFolder) -> None:
    space = load_search_space(finished_run.job.space)
    designs = hand_designs(space)
    found = candidates(finished_run)
    top = [space.from_params(params) for params in read_json(finished_run.top)["top"][:2]]
    assert {a.key for a in top} | {d.key for d in designs.values()} == {one.architecture.key for one in found.values()}
    assert len({one.architecture.key for one in found.values()}) == len(found)
    for name, one in found.items():
        assert name == one.name
        assert name == one.architecture.key or name in designs


def test_a_hand_design_among_the_best_comes_once_and_by_its_name(copied_run: RunFolder) -> None:
    space = load_search_space(copied_run.job.space)
    designs = hand_designs(space)
    write_json(copied_run.top, {**read_json(copied_run.top), "top": [dict(designs["hand-mlp"].params)]})
    assert list(candidates(copied_run)) == ["hand-mlp", *(name for name in designs if name != "hand-mlp")]


def test_the_winner_of_the_run_that_is_continued_is_one_and_trained_to_its_end(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, found = load_search_space(copied_run.job.space), candidates(copied_run)
    winner = next(one for n in range(9) if (one := space.random(np.random.default_rng(n))).key not in found)
    top = read_json(copied_run.top)
    write_json(copied_run.top, {**top, "earlier": [dict(winner.params)]})
    with_it = [*found.values(), Candidate(winner.key, winner, "earlier run")]
    assert list(candidates(copied_run).values())[: len(found) + 1] == with_it
    assert {one.origin for one in with_it} == {"search", "hand design", "earlier run"}
    predicted = [one.architecture.key for one in found.values() if one.origin == "search"]
    write_json(copied_run.top, {**read_json(copied_run.top), "predicted": predicted})
    monkeypatch.setattr(module, "scores_count", lambda run: False)
    assert winner.key not in halved(copied_run)
    assert {*halved(copied_run)} == {*found} - {*hand_designs(space)}
    assert winner.key not in candidates(changed(copied_run, "budget", macs=1))
    winner_of_both = next(name for name in found if name not in hand_designs(space))
    write_json(copied_run.top, {**top, "earlier": [dict(found[winner_of_both].architecture.params)]})
    assert [*candidates(copied_run)] == [*found]
    assert winner_of_both not in halved(copied_run), "though the predictor chose it too"


def test_before_the_search_has_ended_there_are_none(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    with pytest.raises(RunFolderError, match=r"the search has not ended; `nasrec-automl status .*` says what is left"):
        candidates(copied_run)


@pytest.mark.parametrize("stage", [RetrainStage(), FinalStage()], ids=lambda stage: stage.name)
def test_a_stage_that_comes_too_early_leaves_no_settings(searching: RunFolder, stage: Stage) -> None:
    with pytest.raises(RunFolderError, match=r"the search( stage)? has not ended"):
        stage.run(searching)
    assert not searching.started(stage.name)
