"""The report of a finished run."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna_dashboard import get_note

from nasrec_automl.config import load_job
from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, checked_best
from nasrec_automl.pipeline.dashboard import publish
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.report import ReportStage, report_content, write_run_report
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.report import render_report
from nasrec_automl.report.summary import pareto_front
from nasrec_automl.search import distributions
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed
from tests.pipeline.test_handed_on import checked


def test_it_holds_what_the_stages_left(finished_run: RunFolder) -> None:
    content, result = report_content(finished_run), read_json(finished_run.result)
    assert content.title == "tiny"
    assert content.dataset == "synthetic"
    assert content.winner.key == result["key"]
    assert len(content.search) == 20
    assert {"hand-mlp", "hand-dlrm", "hand-deepfm"} <= {scored.hand for scored in content.search}
    assert len(content.retrain) == 6
    assert len(content.supernet) >= 3
    assert content.supernet[-1].train_loss is not None
    kinds = [row.kind for row in content.results]
    assert [row.wins for row in content.results].count(True) == 1
    baselines = [row for row in content.results if row.kind == "baseline"]
    assert [row.name for row in baselines] == ["gradient boosting", "logistic regression"]
    for row, noted in zip(baselines, result["baselines"], strict=True):
        assert (row.auc, row.test_log_loss, row.test_auc) == (
            noted["validation"]["auc"],
            noted["test"]["log_loss"],
            noted["test"]["auc"],
        )
        assert row.test_less_winner_error == noted["test_less_winner_error"]
    assert {*kinds} <= {"search", "hand design", "baseline"}
    assert {row.name for row in content.results if row.is_hand_design} == set(hand_designs(content.winner.space)) & {
        row.name for row in content.results
    }
    winner = next(row for row in content.results if row.wins)
    assert (winner.name, winner.test_auc) == (content.winner_name, result["test"]["auc"])
    noted = read_json(finished_run.final)
    assert (content.teachers, content.final_teachers) == (noted["teachers"], noted["final_teachers"])
    assert any("optuna-dashboard" in line for line in content.how_to_go_on)


def test_where_scores_do_not_count_candidates_come_from_the_check_and_the_predictor(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(copied_run)
    copied_run.top.unlink()
    monkeypatch.setattr(type(job_budget(copied_run)), "is_slow", True)  # predicts what the search has scored alone
    SearchStage().run(copied_run)
    before, url = read_json(copied_run.retrain_done), copied_run.job.storage_url
    noted = {**before, "study": read_json(copied_run.top)["retrain"]}  # as if the others had been trained
    optuna.copy_study(from_study_name=before["study"], from_storage=url, to_storage=url, to_study_name=noted["study"])
    write_json(copied_run.retrain_done, noted)
    final, found = read_json(copied_run.final), candidates(copied_run)
    first = final["contenders"][0]
    others = [{**first, "name": name, "less_winner_error": 0.1} for name in found if not name.startswith("hand-")]
    designs = [one for one in final["contenders"] if one["name"].startswith("hand-")]
    now = {"retrain": noted, "winner": others[0]["name"], "contenders": [*designs, *others]}
    write_json(copied_run.final, {**final, **now})
    content = report_content(copied_run)
    scored = {each.name for each in content.search}
    kinds = {row.name: row.kind for row in content.results if row.kind not in ("hand design", "baseline")}
    assert kinds.keys() == {one["name"] for one in others}
    best = {one.key for one in checked_best(copied_run)}
    assert kinds == {name: "check" if name in best else "predictor" for name in kinds}
    assert {*kinds.values()} == {"check", "predictor"}
    assert all(name in scored for name, kind in kinds.items() if kind == "predictor"), "its score did not count"
    [winner] = [row for row in content.results if row.wins]
    assert (winner.name, winner.kind) == (others[0]["name"], found[winner.name].origin)
    assert f">winner, {winner.kind}<" in render_report(content)


def test_it_says_which_rows_chose(copied_run: RunFolder) -> None:
    final = read_json(copied_run.final)
    assert report_content(copied_run).chosen_on == ["choice"]
    write_json(copied_run.final, {**final, "chosen_on": ["search", "choice"]})
    assert report_content(copied_run).chosen_on == ["search", "choice"]


def test_of_a_public_set_it_says_whether_all_was_read(finished_run: RunFolder, copied_run: RunFolder) -> None:
    assert "Read" not in report_content(finished_run).facts
    path = copied_run.data / "dataset.json"
    content = read_json(path)
    write_json(path, {**content, "notes": {**content["notes"], "completeness": "7 rows: all of it"}})
    assert report_content(copied_run).facts["Read"] == "7 rows: all of it"


def test_the_file_is_one_page_with_its_own_plotly(finished_run: RunFolder) -> None:
    text = finished_run.report.read_text()
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert "<svg" in text
    assert "Plotly.newPlot" in text
    assert 'src="http' not in text
    for words in ("logistic regression", "hand-mlp", "hand-dlrm", "hand-deepfm", "synthetic"):
        assert words in text


def test_it_is_written_again_when_the_result_is_another_and_only_then(copied_run: RunFolder) -> None:
    stage = ReportStage()
    assert stage.is_done(copied_run)
    before = copied_run.report.stat().st_mtime_ns
    stage.run(copied_run)
    assert copied_run.report.stat().st_mtime_ns == before
    os.utime(copied_run.result)
    assert stage.is_done(copied_run)
    write_json(copied_run.result, {**read_json(copied_run.result), "note": "another"})
    assert not stage.is_done(copied_run)
    stage.run(copied_run)
    assert stage.is_done(copied_run)


def test_by_hand_it_is_written_always(copied_run: RunFolder) -> None:
    copied_run.report.unlink()
    assert write_run_report(copied_run) == copied_run.report
    assert copied_run.report.is_file()


@pytest.mark.parametrize("stage", [False, True])
def test_without_its_studies_the_report_that_is_there_stays(copied_run: RunFolder, stage: bool) -> None:
    (copied_run.path / "studies.db").unlink()
    before = copied_run.report.read_text()
    if stage:
        copied_run.reported.unlink()
    for _ in range(2):  # the first time has not made what is missing
        with pytest.raises(RunFolderError, match=r"no trial of its study 'tiny-search' in sqlite:.*studies\.db"):
            ReportStage().run(copied_run) if stage else write_run_report(copied_run)
    assert copied_run.report.read_text() == before
    assert optuna.get_all_study_names(copied_run.job.storage_url) == []


def test_a_report_that_cannot_be_written_is_a_sentence(copied_run: RunFolder) -> None:
    copied_run.report.unlink()
    copied_run.report.mkdir()
    with pytest.raises(RunFolderError, match=r"report\.html: cannot be written \(Is a directory\)"):
        write_run_report(copied_run)
    assert list(copied_run.report.iterdir()) == []


def test_a_run_without_a_result_has_no_report(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    run = RunFolder(load_job(write_job(tmp_path / "my clicks")))
    run.create()
    with pytest.raises(
        RunFolderError, match=r"the run has no result yet; `nasrec-automl status '.*/my clicks/run'` says"
    ):
        write_run_report(run)
    assert ReportStage().units(run) == (0, 1)


@pytest.mark.parametrize(
    ("section", "name"), [("search", "architectures"), ("retrain", "trials"), ("budget", "parameters")]
)
def test_a_run_that_has_more_to_do_keeps_the_report_of_its_result(
    copied_run: RunFolder, section: str, name: str
) -> None:
    before, asked = copied_run.report.read_text(), getattr(getattr(copied_run.job, section), name)
    grown = changed(copied_run, section, **{name: 2 * asked if asked else 10**9})
    with pytest.raises(RunFolderError, match=r"has more to do since its result; `nasrec-automl status .*` says"):
        write_run_report(grown)
    assert copied_run.report.read_text() == before
    content = report_content(grown)  # what the dashboard shows meanwhile does not say both
    assert not content.results
    assert bool(content.retrain) == (section == "retrain")


def test_what_others_added_to_the_retrain_study_is_left_out(copied_run: RunFolder) -> None:
    before = report_content(copied_run).retrain
    study = begun_study(copied_run, "retrain")
    study.add_trial(optuna.create_trial(value=0.1))
    own = study.best_trials[0]
    study.add_trial(optuna.create_trial(params=own.params, distributions=own.distributions, value=0.1))
    assert report_content(copied_run).retrain == before


def test_an_architecture_that_others_scored_again_counts_once(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "search")
    before = report_content(copied_run).search
    first = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))[0]
    study.add_trial(first)
    assert report_content(copied_run).search == before


def test_a_trial_that_a_user_added_counts_like_the_searchs_own(copied_run: RunFolder) -> None:
    study, space = begun_study(copied_run, "search"), load_search_space(copied_run.job.space)
    before, rng = report_content(copied_run).search, np.random.default_rng(1)
    mine = next(one for _ in range(99) if (one := space.random(rng)).key not in {each.key for each in before})
    study.add_trial(optuna.create_trial(params=mine.params, distributions=distributions(space), value=0.1))
    study.add_trial(optuna.create_trial(params={}, value=0.05))  # which is no architecture
    content = report_content(copied_run)
    *others, added = content.search
    assert others == before
    assert (added.name, added.log_loss, added.number) == (mine.key, 0.1, study.get_trials()[-2].number)
    assert {"macs": added.macs, "parameters": added.parameters} == job_budget(copied_run).counted(mine)
    assert (added.auc, added.standard_error, added.latency_ms, added.architecture) == (None, None, None, mine)
    text = render_report(content)
    assert "1 architecture was scored by another evaluator or added to the study by hand" in text
    assert f"No other architecture is as good as the best (0.1000, {mine.key})." in text
    assert f"The search scored {len(before)} architectures" in text
    publish(copied_run, lambda: content)
    assert f"| 1 | {added.number} | {mine.key} | 0.10000 |  | {added.macs:,} | {added.parameters:,} |" in get_note(
        study
    )


def test_of_several_objectives_the_costs_of_such_a_trial_are_its_values(front_run: RunFolder, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(front_run.path), str(tmp_path / "run")], check=True)
    run = RunFolder.open(tmp_path / "run")
    study, space = begun_study(run, "search"), load_search_space(run.job.space)
    mine = next(one for seed in range(99) if (one := space.random(np.random.default_rng(seed))).key not in keys(run))
    added = optuna.create_trial(params=mine.params, distributions=distributions(space), values=[0.1, 77_000])
    study.add_trial(added)
    content = report_content(run)
    assert (content.search[-1].key, content.search[-1].macs) == (mine.key, 77_000)
    front = pareto_front(content.search, ["macs"])
    assert front[0].key == mine.key
    assert {each.number for each in front} == {trial.number for trial in study.best_trials}
    text = render_report(content)
    assert f">{mine.key}</th><td>0.1000</td><td>&ndash;</td><td>77,000</td>" in text


def keys(run: RunFolder) -> set[str]:
    return {each.key for each in report_content(run).search}


def test_several_objectives_show_their_front(front_run: RunFolder) -> None:
    content = report_content(front_run)
    assert content.objectives == ("log_loss", "macs")
    best = begun_study(front_run, "search").best_trials
    front = pareto_front(content.search, ["macs"])
    assert {each.key for each in front} == {trial.user_attrs["nasrec:key"] for trial in best}
    text = front_run.report.read_text()
    section = text[text.index("<h2>Pareto front</h2>") : text.index("<h2>Training from scratch</h2>")]
    assert section.count("<tr>") == 1 + len(front)
    for each in front:
        assert f">{each.name}</th><td>{each.log_loss:.4f}</td>" in section
        assert f"<td>{each.macs:,}</td>" in section
    assert content.facts["Minimised"] == "log loss, multiply-adds per example, by nsga2"
    assert f"nasrec-automl retrain {front_run.path} KEY" in content.how_to_go_on


def test_one_objective_has_no_front(finished_run: RunFolder) -> None:
    assert "<h2>Pareto front</h2>" not in finished_run.report.read_text()
    assert "Minimised" not in report_content(finished_run).facts
