"""Databases that earlier releases made: the search goes on in them, and the report reads them."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.report import report_content, write_run_report
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.search.attributes import WEIGHTS_HASH
from nasrec_automl.search.incumbents import best_first
from tests.pipeline.changed import changed

KEPT = sorted((Path(__file__).parents[1] / "search" / "fixtures").glob("studies-*.db"))


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def older(request: pytest.FixtureRequest, copied_run: RunFolder) -> RunFolder:
    """A run of today, with the studies of an earlier release in place of its own."""
    for path in copied_run.path.glob("studies.db*"):
        path.unlink()
    shutil.copy(request.param, copied_run.path / "studies.db")
    url = f"sqlite:///{copied_run.path / 'studies.db'}"
    for name in optuna.get_all_study_names(url):
        # The same job: but data and supernet of today's run are other files.
        study = optuna.load_study(study_name=name, storage=url)
        study.set_user_attr("nasrec:data", PreparedData.open(copied_run.data).fingerprint)
        study.set_user_attr("nasrec:supernet", copied_run.settings_digest("supernet"))
        study.set_user_attr(WEIGHTS_HASH, hashlib.sha256(copied_run.weights.read_bytes()).hexdigest()[:16])
    trials = best_first(
        optuna.load_study(study_name="tiny-search", storage=url).get_trials(states=(TrialState.COMPLETE,))
    )
    top = [trial.params for trial in trials]
    write_json(copied_run.top, {**read_json(copied_run.top), "target": len(top), "scored": len(top), "top": top})
    # What today's search found is no candidate of the earlier one; hand designs are of both.
    known, result, final = candidates(copied_run), read_json(copied_run.result), read_json(copied_run.final)
    contenders = [contender for contender in final["contenders"] if contender["name"] in known]
    winner = contenders[0]["name"]
    write_json(copied_run.final, {**final, "contenders": contenders, "winner": winner})
    architecture = dict(known[winner].architecture.params)
    write_json(copied_run.result, {**result, "architecture": architecture, "key": known[winner].architecture.key})
    return copied_run


def test_one_is_kept() -> None:
    assert KEPT
    assert all(path.stat().st_size < 300_000 for path in KEPT)


def test_the_report_reads_it(older: RunFolder) -> None:
    content = report_content(older)
    assert len(content.search) == 20
    assert len(content.retrain) >= 5
    assert sum(scored.hand is not None for scored in content.search) >= 3
    assert write_run_report(older).is_file()


def written(trials: list[FrozenTrial]) -> list[tuple[object, ...]]:
    return [(trial.number, trial.params, trial.values, trial.user_attrs) for trial in trials]


def test_the_search_goes_on_in_it(older: RunFolder) -> None:
    before = written(begun_study(older, "search").get_trials())
    grown = changed(older, "search", architectures=23)
    SearchStage().run(grown)
    after = begun_study(grown, "search").get_trials()
    assert written(after)[: len(before)] == before
    done = [trial for trial in after if trial.state == TrialState.COMPLETE]
    assert len(done) == 23
    assert max(Counter(trial.user_attrs["nasrec:key"] for trial in done).values()) == 1


def test_the_trainings_are_found(older: RunFolder) -> None:
    trials = begun_study(older, "retrain").get_trials(deepcopy=False)
    assert len([trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]) >= 5
