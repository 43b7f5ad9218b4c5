"""The check of a search's scores, and what a run does where they fail it."""

import math
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from optuna.trial import TrialState
from scipy.stats import kendalltau

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import load_job
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline import truth
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, checked_best, halved
from nasrec_automl.pipeline.check import check_scores, resume_mark_of_check
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.named import find_architecture
from nasrec_automl.pipeline.outcomes import note_verdict, read_verdict
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.report import report_content
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.studies import begun_study, make_study
from nasrec_automl.pipeline.subnets import trial_weights
from nasrec_automl.ranking import judge_ranking
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Verdict
from tests.warm import run_warm

Write = Callable[..., Path]
JOB: dict[str, Any] = {
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 1},
    "search": {"architectures": 8, "verdict": {"architectures": 4, "seeds": 2}},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, write_job: Write) -> RunFolder:
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("verdict"), **JOB)))
    for name in ("data", "supernet", "search"):
        STAGES[name].run(run)
    return run


def supernet_of(searched: RunFolder, folder: Path, write_job: Write) -> Path:
    """The job file of a run that has this one's supernet, and no more."""
    path = write_job(folder, **JOB)
    run = RunFolder(load_job(path))
    run.create()
    for name in ("data", "supernet", "progress"):
        shutil.copytree(searched.path / name, run.path / name)
    for name in ("data", "supernet"):
        (run.path / "stages").mkdir(exist_ok=True)
        shutil.copy(searched.path / "stages" / f"{name}.json", run.path / "stages")
    return path


def found(run: RunFolder) -> tuple[dict[str, Any], list[Any]]:
    trials = begun_study(run, "search").get_trials(states=(TrialState.COMPLETE,))
    return read_json(run.verdict), [(trial.params, trial.value) for trial in trials]


def distrusted(run: RunFolder) -> RunFolder:
    """The run, with its search done and its scores found wanting."""
    for path in (run.retrained, run.path / "best"):
        shutil.rmtree(path)
    for path in (run.result, run.report, run.final):
        path.unlink()
    losses = [0.5, 0.51, None, *np.linspace(0.6, 0.7, 5).tolist()]
    known = np.array([loss for loss in losses if loss is not None])
    ranking = judge_ranking(-known, known[:, None], known, resamples=20)  # the reverse order, and that of sizes
    params = [architecture.params for architecture in truth.sample_sizes(run, 8)]
    note_verdict(run, Verdict(architectures=params, log_losses=losses, ranking=ranking))
    return run


def test_it_says_how_far_each_training_has_come(tmp_path: Path, searched: RunFolder, write_job: Write) -> None:
    run, told = RunFolder(load_job(supernet_of(searched, tmp_path, write_job))), []
    check_scores(run, make_evaluator(run), tell=told.append)
    own = [words for words in told if words.startswith("checks its scores: 0 of 8 trainings from scratch")]
    assert own
    assert all(re.search(r"scratch, step \d+ of at most \d+$", words) for words in own)
    assert told[-1] == "checks its scores: 8 of 8 trainings from scratch"


def test_scores_are_checked_before_the_search(searched: RunFolder) -> None:
    architectures, evaluator = truth.sample_sizes(searched, 4), make_evaluator(searched)
    trained = make_study(searched, "verdict").get_trials()
    trials = {trial.user_attrs["nasrec:key"]: trial.value for trial in trained}
    assert len(trials) == 8
    assert resume_mark_of_check(searched) == (8, 0)
    losses = np.array([[trials[f"{one.key}-{seed}"] for seed in range(2)] for one in architectures])
    scores = [evaluator.evaluate(one).log_loss for one in architectures]
    verdict = read_verdict(searched)
    assert verdict is not None
    found = verdict.ranking
    assert found is not None
    assert (found.architectures, found.seeds) == (4, 2)
    assert found.tau.value == pytest.approx(kendalltau(scores, losses.mean(axis=1)).statistic)
    assert verdict.architectures == [dict(one.params) for one in architectures]
    assert verdict.log_losses == losses.mean(axis=1).tolist()
    first = min(trial.datetime_start for trial in begun_study(searched, "search").get_trials() if trial.datetime_start)
    assert all(t.datetime_complete < first for t in make_study(searched, "verdict").get_trials() if t.datetime_complete)
    assert not (searched.path / "search" / "verdict").exists(), "no checkpoint is left"
    progress = read_progress(searched.progress("search"))
    assert progress is not None
    assert f"tau {found.tau.value:.2f} (tau of size" in progress.note


def test_trainings_of_the_check_are_measured_on_hpo(searched: RunFolder) -> None:
    architecture = truth.sample_sizes(searched, 4)[2]
    expected = truth.train_and_measure(searched, architecture, truth._TRUTH_SEEDS_APART, (Part.HPO,)).value
    trials = {trial.user_attrs["nasrec:key"]: trial.value for trial in make_study(searched, "verdict").get_trials()}
    assert trials[f"{architecture.key}-1"] == expected


def test_without_a_check_there_is_no_verdict(finished_run: RunFolder) -> None:
    assert not finished_run.verdict.exists()
    assert read_verdict(finished_run) is None
    assert resume_mark_of_check(finished_run) == (0, 0)
    assert report_content(finished_run).verdict is None


KILLED = """
import importlib, os, signal, sys
from nasrec_automl.config import load_job
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job

module, name, last = importlib.import_module(sys.argv[2]), sys.argv[3], int(sys.argv[4])
calls, training = 0, getattr(module, name)

def dies(*arguments, **options):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return training(*arguments, **options)

setattr(module, name, dies)
run_job(RunFolder(load_job(sys.argv[1])))
"""


def killed(job: Path, module: str, name: str, last: int) -> bool:
    """Run a job whose process is killed when a function of the pipeline is called for the `last` time."""
    return run_warm(KILLED, job, f"nasrec_automl.pipeline.{module}", name, last).returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_in_the_check_it_goes_on_to_the_same_verdict_and_search(
    searched: RunFolder, tmp_path: Path, write_job: Write
) -> None:
    path = supernet_of(searched, tmp_path, write_job)
    run = RunFolder(load_job(path))
    ended = 0
    for checked in (2, 1):
        assert killed(path, "truth", "train_and_measure", checked + 1)
        assert not run.verdict.exists()
        ended += checked
        assert SearchStage().resume_mark(run) == (0, ended, 0), "a later start has these to go on with"
    SearchStage().run(run)
    assert found(run) == found(searched)


def test_a_search_goes_on_where_too_few_trainings_end_well(
    searched: RunFolder, tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*arguments: Any, **options: Any) -> None:
        raise DivergedError("step 1: the loss is nan")

    monkeypatch.setattr(truth, "train_and_measure", diverges)
    run = RunFolder(load_job(supernet_of(searched, tmp_path, write_job)))
    SearchStage().run(run)
    assert found(run)[1] == found(searched)[1]
    assert halved(run) == []
    noted = read_verdict(run)
    assert noted is not None
    assert (len(noted.architectures), noted.log_losses, noted.ranking) == (4, [None] * 4, None)
    assert report_content(run).verdict == noted
    progress = read_progress(run.progress("search"))
    assert progress is not None
    assert "too few architectures have both a training and a score to check the scores" in progress.note


@pytest.mark.parametrize("count", [1, 2])
def test_an_architecture_without_a_finite_score_is_left_out_of_the_check_and_the_search(
    searched: RunFolder, tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    lost, evaluate = truth.sample_sizes(searched, 4)[:count], WeightSharingEvaluator.evaluate

    def broken(self: WeightSharingEvaluator, architecture: Architecture, rivals: Sequence[Architecture] = ()) -> Score:
        score = evaluate(self, architecture, rivals)
        return replace(score, log_loss=math.nan) if architecture.key in {one.key for one in lost} else score

    monkeypatch.setattr(WeightSharingEvaluator, "evaluate", broken)
    run = RunFolder(load_job(supernet_of(searched, tmp_path, write_job)))
    for one in lost:
        make_study(run, "search").enqueue_trial(one.params)
    SearchStage().run(run)
    verdict = read_verdict(run)
    assert verdict is not None
    if count == 1:
        assert verdict.ranking is not None
        assert (verdict.ranking.architectures, verdict.left_out) == (3, 1)
    else:
        assert verdict.ranking is None, "two scores are no order, and the search goes on"
    assert None not in verdict.log_losses, "they were trained well"
    states = [trial.state for trial in begun_study(run, "search").get_trials()]
    assert states.count(TrialState.PRUNED) == count
    assert states.count(TrialState.COMPLETE) == 8
    assert SearchStage().is_done(run)


def test_where_scores_are_not_trusted_the_best_that_were_trained_are_candidates_too(copied_run: RunFolder) -> None:
    before = candidates(copied_run)
    run, top = distrusted(copied_run), read_json(copied_run.top)
    predicted = [each.architecture.key for each in before.values() if each.origin == "search"]
    write_json(run.top, {**top, "predicted": predicted})  # as the search notes all of them then
    after = candidates(run)
    assert list(after)[: len(before)] == list(before)
    new = {name: after[name].architecture for name in after if name not in before}
    assert checked_best(run) == truth.sample_sizes(run, 8)[:2], "a quarter of the seven that ended well"
    trained = {one.key: one for one in checked_best(run)}
    known = {one.architecture.key: one.architecture for one in before.values()}
    assert new == {key: one for key, one in trained.items() if key not in known} != {}
    assert after == candidates(run), "and always the same"
    designs = hand_designs(load_search_space(run.job.space))
    assert halved(run) == [name for name in before if name not in designs and name not in trained] != []
    limit = max(job_budget(run).counted(one)["macs"] for one in (*known.values(), *designs.values()))
    job = run.job.model_copy(update={"budget": run.job.budget.model_copy(update={"macs": limit})})
    tight = replace(run, job=job)
    assert all(job_budget(tight).admits(one.architecture) for one in candidates(tight).values())
    sizes = {key: job_budget(run).counted(one)["macs"] for key, one in trained.items()}
    job = run.job.model_copy(update={"budget": run.job.budget.model_copy(update={"macs": max(sizes.values()) - 1})})
    others = checked_best(replace(run, job=job))
    assert others, "of those inside the budget a quarter again"
    assert set(trained) - {one.key for one in others} == {max(sizes, key=lambda key: sizes[key])}
    name, architecture = next(iter(new.items()))
    assert find_architecture(run, name[:12]) == (name, architecture)


@pytest.mark.slow
def test_the_fall_back_halves_says_so_and_resumes(copied_run: RunFolder, tmp_path: Path) -> None:
    job_file = copied_run.path.parent / "job.yaml"
    job = yaml.safe_load(job_file.read_text())
    job["retrain"] |= {"max_epochs": 2, "validations_per_epoch": 4}  # eight validations: a rung at 4
    job_file.write_text(yaml.safe_dump(job))
    (copied_run.path / "stages" / "retrain.json").unlink()
    run = distrusted(RunFolder(load_job(job_file)))
    run.top.unlink()  # the search ends again, with what a predictor puts first
    subprocess.run(["cp", "-a", str(run.path.parent), str(tmp_path / "broken")], check=True)
    run_job(run)
    trials = begun_study(run, "retrain").get_trials()
    assert len(trials) == len(candidates(run)) > run.job.retrain.trials
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert not any(trial_weights(run, begun_study(run, "retrain"), trial).exists() for trial in pruned), (
        "large, and for nothing"
    )
    scored = {trial.user_attrs["nasrec:key"] for trial in begun_study(run, "search").get_trials()}
    designs, checked = hand_designs(load_search_space(run.job.space)), {one.key for one in checked_best(run)}
    predicted = [name for name in candidates(run) if name not in designs and name not in checked]
    assert len(predicted) == run.job.retrain.top_k
    assert set(predicted) - scored, "some of them the search never saw"
    assert all(trial.params["architecture"] in halved(run) for trial in pruned)
    started = sorted(trials, key=lambda trial: trial.number)
    names = [trial.params["architecture"] for trial in started]
    assert names == [*(name for name in candidates(run) if name not in halved(run)), *halved(run)]
    assert all("not among the best half" in trial.user_attrs["nasrec:reason"] for trial in pruned)
    text = run.report.read_text()
    assert "so the run did not rely on them" in text
    assert "successive halving" in text

    broken = RunFolder(load_job(tmp_path / "broken" / "job.yaml"))
    assert killed(tmp_path / "broken" / "job.yaml", "retrain", "train_by_job", 6)
    run_job(broken)
    results = [{k: v for k, v in read_json(one.result).items() if k != "seconds"} for one in (run, broken)]
    assert results[0] == results[1]
