"""How well scores rank, on a job of seconds."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from rich.console import Console
from scipy.stats import kendalltau

from nasrec_automl.cli import main
from nasrec_automl.config import load_job
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DataError, DivergedError, JobError, StudyError
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.evaluation.trained_steps import trained_steps
from nasrec_automl.pipeline import rank, truth
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.rank import RankStage, rank_content, rank_scores, train_ranked
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import rank_status
from nasrec_automl.pipeline.studies import make_study
from nasrec_automl.pipeline.supernet import kept_steps
from nasrec_automl.pipeline.supernet_training import path_schedule, training_steps
from nasrec_automl.pipeline.view import rank_table
from nasrec_automl.pipeline.worker_processes import worker_processes
from nasrec_automl.space import load_search_space
from tests.children import children
from tests.pipeline.changed import changed
from tests.warm import run_warm

Write = Callable[..., Path]
JOB: dict[str, Any] = {
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 1},
    "rank": {"architectures": 5, "seeds": 2},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, write_job: Write) -> RunFolder:
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("rank"), **JOB)))
    rank_scores(run)
    return run


def copied(run: RunFolder, folder: Path) -> RunFolder:
    subprocess.run(["cp", "-a", str(run.path.parent), str(folder / "copy")], check=True)
    return RunFolder(load_job(folder / "copy" / "job.yaml"))


def test_scores_trainings_and_their_statistics_are_written(done: RunFolder) -> None:
    content = rank_content(done)
    assert len(content.architectures) == 5
    space, evaluator = load_search_space(done.job.space), make_evaluator(done)
    architectures = [space.from_params(one.params) for one in content.architectures]
    assert [one.key for one in content.architectures] == [one.key for one in architectures]
    assert [one.macs for one in content.architectures] == sorted(one.macs for one in content.architectures)
    assert [one.score for one in content.architectures] == [evaluator.evaluate(a).log_loss for a in architectures]
    losses = np.array([one.losses for one in content.architectures])
    assert losses.shape == (5, 2)
    unseen = (Part.HPO, Part.CHOICE)  # of which no score has seen a row
    assert losses[0, 0] == truth.train_and_measure(done, architectures[0], 0, unseen).value
    assert (losses[:, 0] != losses[:, 1]).all()
    tau = kendalltau([one.score for one in content.architectures], losses.mean(axis=1)).statistic
    assert content.ranking.tau.value == pytest.approx(tau)
    assert content.ranking.ceiling is not None
    assert content.ranking.ceiling.value == pytest.approx(kendalltau(*losses.T).statistic)
    steps = trained_steps(architectures, path_schedule(done), kept_steps(done))
    assert [one.trained_steps for one in content.architectures] == pytest.approx(steps)
    assert not (done.path / "rank").exists(), "no checkpoint is left"
    assert "</html>" in done.rank_report.read_text()


def test_the_steps_are_those_that_the_supernet_was_trained_with(done: RunFolder, monkeypatch: Any) -> None:
    """What is replayed is what NNI's strategy does."""
    from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
    from nasrec_automl.pipeline.supernet import SupernetStage

    paths = []
    step = NasRecLightningModule.training_step

    def noted(self: Any, *arguments: Any) -> Any:
        loss = step(self, *arguments)
        paths.append(self.shared.path)
        return loss

    monkeypatch.setattr(NasRecLightningModule, "training_step", noted)
    done.weights.rename(done.weights.with_suffix(".before"))
    try:
        SupernetStage().run(done)
    finally:
        done.weights.with_suffix(".before").rename(done.weights)
    schedule = path_schedule(done)
    assert paths == [schedule.path(number) for number in range(training_steps(done))]


def test_steps_behind_those_whose_weights_are_kept_do_not_count(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(done, tmp_path)
    assert training_steps(run) > 1
    monkeypatch.setattr(rank, "kept_steps", lambda run: 1)
    rank_scores(run)
    space = load_search_space(run.job.space)
    content = rank_content(run)
    steps = trained_steps([space.from_params(one.params) for one in content.architectures], path_schedule(run), 1)
    assert [one.trained_steps for one in content.architectures] == pytest.approx(steps)


def test_the_study_holds_the_trainings_with_their_labels(done: RunFolder) -> None:
    trials = make_study(done, "rank").get_trials()
    assert len(trials) == 10
    assert make_study(done, "rank").study_name.startswith("tiny-rank-")
    assert {*load_search_space(done.job.space).labels, "seed"} == trials[0].params.keys()


def test_done_it_trains_nothing_and_more_seeds_train_the_new_ones_alone(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(done, tmp_path)
    before = run.rank.read_text()
    trained: list[int] = []
    training = truth.train_and_measure

    def counted(run: RunFolder, architecture: Any, seed: int, *arguments: Any, **options: Any) -> Any:
        trained.append(seed)
        return training(run, architecture, seed, *arguments, **options)

    monkeypatch.setattr(truth, "train_and_measure", counted)
    rank_scores(run)
    assert (trained, run.rank.read_text()) == ([], before)
    job = run.job.model_copy(update={"rank": run.job.rank.model_copy(update={"seeds": 3})})
    rank_scores(RunFolder(job))
    assert trained == [2 * truth._TRUTH_SEEDS_APART] * 5
    assert rank_content(run).ranking.seeds == 3
    other = job.model_copy(update={"retrain": job.retrain.model_copy(update={"max_epochs": 3})})
    with pytest.raises(JobError, match=r"retrain\.max_epochs: the rank stage"):
        rank_scores(RunFolder(other))


def test_a_look_at_the_settings_makes_no_study(done: RunFolder, tmp_path: Path) -> None:
    elsewhere = done.job.model_copy(update={"storage": f"sqlite:///{tmp_path / 'studies.db'}"})
    RankStage().check(RunFolder(elsewhere))
    assert optuna.get_all_study_names(elsewhere.storage_url) == []
    with pytest.raises(JobError, match=r"retrain\.patience: the rank stage"):
        RankStage().check(changed(done, "retrain", patience=9))


def test_a_start_that_was_stopped_at_once_holds_nobody_to_its_settings(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(done, tmp_path)
    for left in (run.rank, run.progress("rank"), run.path / "stages" / "rank.json"):
        left.unlink()

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nasrec_automl.pipeline.rank.train_ranked", stopped)
    other = changed(run, "retrain", patience=9)
    for each in (other, changed(run, "retrain", patience=7)):
        with pytest.raises(KeyboardInterrupt):
            rank_scores(each)
    checkpoint = run.path / "rank" / "one.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    with pytest.raises(JobError, match=r"retrain\.patience: the rank stage"):
        rank_scores(other)


def test_a_run_keeps_the_job_that_it_ran_with(copied_run: RunFolder) -> None:
    noted = (copied_run.path / "job.json").read_text()
    retrain = copied_run.job.retrain.model_copy(update={"top_k": copied_run.job.retrain.top_k + 1})
    with pytest.raises(JobError, match=r"retrain\.top_k"):
        rank_scores(RunFolder(copied_run.job.model_copy(update={"retrain": retrain})))
    assert (copied_run.path / "job.json").read_text() == noted


def test_of_a_supernet_that_went_on_from_another_it_is_not_known_how_often_weights_were_trained(
    done: RunFolder, tmp_path: Path
) -> None:
    run = copied(done, tmp_path)
    (run.path / "stages" / "rank.json").unlink()
    later = RunFolder(run.job.model_copy(update={"name": "later", "continues": done.path}))
    rank.RankStage().run(later)
    content = rank_content(later)
    assert {one.trained_steps for one in content.architectures} == {None}
    assert content.ranking.training_bias is None
    assert "weights trained in" not in later.rank_report.read_text()


KILLED = """
import os, signal, sys
from nasrec_automl.config import load_job
from nasrec_automl.training.keep_best import Checkpoints
from nasrec_automl.pipeline.rank import rank_scores
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.studies import make_study

run = RunFolder(load_job(sys.argv[1]))
write = Checkpoints.on_validation_end

def dies(self, *arguments):
    write(self, *arguments)
    if len(make_study(run, "rank").get_trials()) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.on_validation_end = dies
rank_scores(run)
"""


@pytest.mark.slow
def test_killed_it_goes_on_inside_a_training_and_ends_the_same(
    done: RunFolder, tmp_path: Path, write_job: Write
) -> None:
    path = write_job(tmp_path, **JOB)
    assert run_warm(KILLED, path).returncode == -signal.SIGKILL
    run = RunFolder(load_job(path))
    assert len(list((run.path / "rank").glob("*.ckpt"))) == 1
    assert not run.rank.exists()
    assert [(one.name, one.state) for one in rank_status(run)] == [
        ("data", "done"),
        ("supernet", "done"),
        ("rank", "interrupted"),
    ]
    rank_scores(run)
    assert json.loads(run.rank.read_text()) == json.loads(done.rank.read_text())
    assert len(make_study(run, "rank").get_trials()) == 11, "the one that was broken has failed, and was tried again"


def test_the_command_shows_bars_and_the_table(
    done: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(done, tmp_path)
    main(["rank", str(tmp_path / "copy" / "job.yaml")])
    printed = capsys.readouterr().out
    assert "rank: done, 10/10 trainings" in printed
    assert "Kendall's tau" in printed
    assert str(run.rank_report) in printed
    console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(rank_table(done))
    text = console.export_text()
    assert f"{rank_content(done).ranking.tau.value:.2f}" in text
    for name in ("ceiling", "tau of size", "training bias", "regret of the top 1"):
        assert name in text
    assert "tau within sizes" not in text, "five architectures are one group"


def test_test_stays_closed_and_trainings_that_diverge_are_left_out(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(copied(done, tmp_path).job.model_copy(update={"name": "again"}))
    with pytest.raises(DataError, match="test part is read once"):
        truth.train_and_measure(run, truth.sample_sizes(run, 3)[0], 0, [Part.HPO, Part.CHOICE, Part.TEST])
    lost = truth.sample_sizes(run, 5)
    training = truth.train_and_measure

    def diverges(most: int) -> Any:
        def train(run: RunFolder, architecture: Any, seed: int, *arguments: Any, **options: Any) -> Any:
            if architecture.key in {one.key for one in lost[:most]}:
                raise DivergedError("step 1: the loss is nan")
            return training(run, architecture, seed, *arguments, **options)

        return train

    monkeypatch.setattr(truth, "train_and_measure", diverges(1))
    rank_scores(run)
    content = rank_content(run)
    assert [one.key for one in content.architectures] == [one.key for one in lost[1:]]
    assert content.left_out == 1
    left_out = "1 more is left out: a training diverged or failed, or the score is not finite."
    assert left_out in run.rank_report.read_text()
    console = Console(width=300, record=True)
    console.print(rank_table(run))
    assert left_out in console.export_text()
    more = RunFolder(run.job.model_copy(update={"name": "more"}))
    monkeypatch.setattr(truth, "train_and_measure", diverges(3))
    with pytest.raises(
        StudyError, match="2 of 5 architectures were trained well with every seed and have a finite score"
    ):
        rank_scores(more)


def test_an_architecture_without_a_finite_score_is_left_out(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, lost = copied(done, tmp_path), truth.sample_sizes(done, 5)[2]
    evaluate = WeightSharingEvaluator.evaluate

    def broken(self: WeightSharingEvaluator, architecture: Any, rivals: Any = ()) -> Score:
        score = evaluate(self, architecture, rivals)
        return replace(score, log_loss=float("inf")) if architecture == lost else score

    monkeypatch.setattr(WeightSharingEvaluator, "evaluate", broken)
    rank_scores(run)
    content = rank_content(run)
    assert content.left_out == 1
    kept = [one for one in rank_content(done).architectures if one.key != lost.key]
    assert [(one.key, one.losses) for one in content.architectures] == [(one.key, one.losses) for one in kept]


@pytest.mark.slow
def test_processes_that_share_the_trainings_end_with_the_same(done: RunFolder, tmp_path: Path) -> None:
    run = copied(done, tmp_path)
    study = make_study(run, "rank")
    expected = run.rank.read_text()
    storage = study_storage(run.job.storage_url)
    storage.delete_study(storage.get_study_id_from_name(study.study_name))
    run.rank.unlink()
    with worker_processes(run.job, "rank", 2):
        (other,) = children()
        while not any("nasrec:worker" in trial.user_attrs for trial in make_study(run, "rank").get_trials()):
            assert other.is_running()
            time.sleep(0.05)
        train_ranked(run)
    workers = {trial.user_attrs["nasrec:worker"].split(":")[1] for trial in study.get_trials()}
    assert str(other.pid) in workers
    rank_scores(run, workers=2)
    assert run.rank.read_text() == expected


def test_no_worker_starts_where_no_training_is_left(
    done: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def noted(job: object, shared: str, workers: int) -> AbstractContextManager[None]:
        asked.append(workers)
        return nullcontext()

    monkeypatch.setattr(rank, "worker_processes", noted)
    rank_scores(copied(done, tmp_path), workers=3)
    assert asked == [0]
