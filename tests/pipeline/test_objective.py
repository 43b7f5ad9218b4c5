"""The search's objective over a finished run's supernet, in studies of other people."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FixedTrial, TrialState

from nasrec_automl import objective
from nasrec_automl.errors import CheckpointError, JobError, RunFolderError
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.search import ArchitectureRandomSampler, RegularizedEvolutionSampler, distributions
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed

SCORED = ("key", "auc", "standard_error", "rows", "stopped", "macs", "parameters")


def scores(trial: optuna.trial.FrozenTrial) -> tuple[object, ...]:
    return trial.value, *(trial.user_attrs[f"nasrec:{name}"] for name in SCORED)


def test_equal_architectures_get_the_searchs_own_scores(finished_run: RunFolder) -> None:
    found = begun_study(finished_run, "search").get_trials()
    study = optuna.create_study()
    for trial in found:
        study.enqueue_trial(trial.params)
    study.optimize(objective(finished_run.path), n_trials=len(found))
    assert [scores(trial) for trial in study.get_trials()] == [scores(trial) for trial in found]


def test_what_is_over_the_budget_is_not_feasible(copied_run: RunFolder) -> None:
    found = begun_study(copied_run, "search").get_trials()
    limit = sorted(trial.user_attrs["nasrec:parameters"] for trial in found)[len(found) // 2]
    run = changed(copied_run, "budget", parameters=limit)
    write_json(run.path / "job.json", run.job.model_dump(mode="json"))
    study = optuna.create_study()
    for trial in found:
        study.enqueue_trial(trial.params)
    study.optimize(objective(run.path), n_trials=len(found))
    inside = [trial for trial in study.get_trials() if trial.user_attrs["nasrec:parameters"] <= limit]
    assert study.best_value == min(trial.value for trial in inside)
    assert all((trial.constraints["parameters"] <= 0) == (trial in inside) for trial in study.get_trials())


def test_threads_score_alike_and_share_a_supernet(finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = begun_study(finished_run, "search").get_trials()
    study = optuna.create_study()
    for trial in found:
        study.enqueue_trial(trial.params)
    made = []
    monkeypatch.setattr(
        "nasrec_automl.pipeline.objective.make_evaluator", lambda run: made.append(make_evaluator(run)) or made[0]
    )
    study.optimize(objective(finished_run.path), n_trials=len(found), n_jobs=4)
    assert len(made) == 1
    by_key = {trial.user_attrs["nasrec:key"]: scores(trial) for trial in study.get_trials()}
    assert by_key == {trial.user_attrs["nasrec:key"]: scores(trial) for trial in found}


def test_a_supernet_that_was_trained_again_is_loaded_again(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        "nasrec_automl.pipeline.objective.make_evaluator", lambda run: made.append(run) or make_evaluator(run)
    )
    scored, study = objective(copied_run.path), optuna.create_study()
    for expected in (1, 1, 2):
        if expected == 2:
            os.utime(copied_run.weights)
        study.optimize(scored, n_trials=1)
        assert len(made) == expected


def test_any_sampler(finished_run: RunFolder) -> None:
    space = load_search_space(finished_run.job.space)
    samplers: list[BaseSampler] = [
        RegularizedEvolutionSampler(space=space, population_size=3, tournament_size=2, children=2),
        ArchitectureRandomSampler(space),
        RandomSampler(seed=0),
        TPESampler(seed=0, n_startup_trials=2),
        NSGAIISampler(seed=0, population_size=2),
    ]
    study = optuna.create_study()
    for sampler in samplers:
        study.sampler = sampler
        study.optimize(objective(finished_run.path), n_trials=4)
    assert {trial.state for trial in study.get_trials()} == {TrialState.COMPLETE}
    assert all(trial.distributions == distributions(space) for trial in study.get_trials())


def test_the_runs_own_study_takes_it_and_the_search_counts_it(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "search")
    study.optimize(objective(copied_run.path), n_trials=2)
    grown = changed(copied_run, "search", architectures=25)
    assert SearchStage().units(grown) == (22, 25)
    SearchStage().run(grown)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 25


@pytest.mark.parametrize("objectives", [["log_loss"], ["log_loss", "macs"]])
def test_a_score_that_is_no_number_prunes_its_trial(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch, objectives: list[str]
) -> None:
    evaluate = WeightSharingEvaluator.evaluate
    monkeypatch.setattr(
        WeightSharingEvaluator, "evaluate", lambda *arguments: replace(evaluate(*arguments), log_loss=float("inf"))
    )
    study = optuna.create_study(directions=["minimize"] * len(objectives), sampler=RandomSampler(seed=0))
    study.optimize(objective(finished_run.path, objectives), n_trials=2)
    assert {trial.state for trial in study.get_trials()} == {TrialState.PRUNED}
    assert "is inf: expected a finite number" in study.get_trials()[0].user_attrs["nasrec:reason"]


def test_several_objectives_are_those_of_the_job_or_ones_own(front_run: RunFolder, finished_run: RunFolder) -> None:
    found = begun_study(front_run, "search").get_trials()[:4]
    study = optuna.create_study(directions=["minimize"] * 2, sampler=NSGAIISampler(seed=0, population_size=2))
    for trial in found:
        study.enqueue_trial(trial.params)
    study.optimize(objective(front_run.path), n_trials=4)
    assert [trial.values for trial in study.get_trials()] == [trial.values for trial in found]
    params = FixedTrial(found[0].params)
    macs = objective(finished_run.path, ["log_loss", "macs"])(params)
    assert macs == tuple(found[0].values)
    assert objective(front_run.path, ["log_loss"])(params) == found[0].values[0]


def test_a_job_of_another_sampler_may_have_a_small_population(copied_run: RunFolder) -> None:
    job = copied_run.job.model_dump(mode="json")
    job["search"] |= {"sampler": "random", "population": 2, "tournament": 64}
    (copied_run.path / "job.json").write_text(json.dumps(job))
    trial = begun_study(copied_run, "search").get_trials()[0]
    for mine in (objective(copied_run.path, ["log_loss"]), pickle.loads(pickle.dumps(objective(copied_run.path)))):
        assert mine(FixedTrial(trial.params)) == trial.value


def test_latency_is_measured_where_it_is_asked_for(copied_run: RunFolder) -> None:
    trial = begun_study(copied_run, "search").get_trials()[0]
    log_loss, parameters, latency = objective(copied_run.path, ["log_loss", "parameters", "latency_ms"])(
        FixedTrial(trial.params)
    )
    assert (log_loss, parameters) == (trial.value, trial.user_attrs["nasrec:parameters"])
    assert latency == read_json(copied_run.latency(trial.user_attrs["nasrec:key"]))["median_ms"]


@pytest.mark.parametrize("objectives", [["macs"], ["log_loss", "log_loss"], ["log_loss", "auc"], []])
def test_objectives_that_are_none_are_refused(finished_run: RunFolder, objectives: list[str]) -> None:
    with pytest.raises(JobError, match="objectives"):
        objective(finished_run.path, objectives)


def test_one_objective_may_be_named_alone(front_run: RunFolder) -> None:
    study = optuna.create_study()
    study.optimize(objective(front_run.path, "log_loss"), n_trials=1)
    assert len(study.trials[0].values) == 1


def test_a_study_that_maximises_is_refused(finished_run: RunFolder) -> None:
    study = optuna.create_study(direction="maximize")
    with pytest.raises(JobError, match=r"maximises, .* is to be minimised: create it with \"minimize\""):
        study.optimize(objective(finished_run.path), n_trials=1)


@pytest.mark.parametrize("objectives", [None, ["log_loss", "macs"]])
def test_a_study_with_another_number_of_objectives_is_refused(
    finished_run: RunFolder, objectives: list[str] | None
) -> None:
    study = optuna.create_study(directions=["minimize"] * (2 if objectives is None else 1))
    returned = objective(finished_run.path, objectives)
    with pytest.raises(JobError, match=r"expected (1 \(log_loss\), got 2|2 \(log_loss, macs\), got 1); create"):
        study.optimize(returned, n_trials=1)


def test_it_goes_to_another_process(finished_run: RunFolder, tmp_path: Path) -> None:
    trial = begun_study(finished_run, "search").get_trials()[3]
    (tmp_path / "objective").write_bytes(pickle.dumps((objective(finished_run.path), trial.params)))
    code = (
        "import pickle, sys, optuna\n"
        "objective, params = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(objective(optuna.trial.FixedTrial(params)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "objective")]
    assert (tmp_path / "objective").stat().st_size < 10_000
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert float(done.stdout) == pytest.approx(trial.value, abs=1e-7)


def test_it_shows_its_folder_and_no_password_of_its_job(copied_run: RunFolder) -> None:
    job = copied_run.job.model_copy(update={"storage": "postgresql+psycopg2://me:s3cret@db/x"})
    RunFolder(job).create()
    assert repr(objective(copied_run.path)) == f"objective({str(copied_run.path)!r})"
    assert repr(RunFolder.open(copied_run.path)) == f"RunFolder({str(copied_run.path)!r})"


def test_nothing_is_written_into_the_folder(finished_run: RunFolder) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in finished_run.path.rglob("*") if "studies.db" not in path.name}

    before = files()
    objective(finished_run.path)(FixedTrial(begun_study(finished_run, "search").best_params))
    assert files() == before


def test_what_is_no_run_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        objective(tmp_path)


def test_a_supernet_that_is_not_trained_yet_is_named(copied_run: RunFolder) -> None:
    shutil.rmtree(copied_run.supernet)
    with pytest.raises(CheckpointError, match=r"not trained yet .* run `nasrec-automl run .* --until supernet`"):
        objective(copied_run.path)
