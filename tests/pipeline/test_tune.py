"""Tuning of the supernet's training, on a job of seconds."""

import math
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console
from scipy.stats import kendalltau

from nasrec_automl.cli import main
from nasrec_automl.config import load_job
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError, JobError, StudyError
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline import truth, tune
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import tune_status
from nasrec_automl.pipeline.studies import found_study, make_study
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.pipeline.tune import tune_supernet, tuned
from nasrec_automl.pipeline.view import tune_table
from nasrec_automl.ranking import tau_error
from nasrec_automl.search.tune import settings_of
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps
from tests.warm import run_warm

Write = Callable[..., Path]
JOB: dict[str, Any] = {
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "tune": {"trials": 2, "architectures": 4, "epochs": 1},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, write_job: Write) -> RunFolder:
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("tune"), **JOB)))
    tune_supernet(run)
    return run


def results(run: RunFolder) -> list[tuple[dict[str, float], float]]:
    return [(settings_of(trial.params, run.job.tune), trial.values[0]) for trial in tuned(run)]


def test_supernets_are_judged_by_their_ranks(done: RunFolder) -> None:
    trained, _ = tune._trained(done)
    assert len(trained) == 4
    (architecture, log_loss), *_ = trained
    assert log_loss == truth.train_and_measure(done, architecture, 0, (Part.HPO,)).value, "of which no score sees a row"
    assert len(make_study(done, "tune-truth").get_trials(deepcopy=False)) == 4
    found = results(done)
    assert len(found) == 2
    assert {"learning_rate": 0.12, "path_warm_up": 0.2} in [settings for settings, _ in found]
    assert [tau for _, tau in found] == sorted((tau for _, tau in found), reverse=True)
    assert all(-1 <= tau <= 1 for _, tau in found)
    assert not list((done.path / "tune").iterdir()), "nothing large is left"


def test_tau_is_that_of_scores_and_trainings(done: RunFolder, tmp_path: Path, write_job: Write) -> None:
    """The job's own settings in a run of their own give the same scores."""
    from nasrec_automl.pipeline.evaluator import make_evaluator
    from nasrec_automl.pipeline.stages import STAGES

    job = load_job(write_job(tmp_path, **JOB))
    run = RunFolder(job.model_copy(update={"supernet": job.supernet.model_copy(update={"epochs": job.tune.epochs})}))
    for name in ("data", "supernet"):
        STAGES[name].run(run)
    evaluator, trained = make_evaluator(run), tune._trained(done)[0]
    scores = [evaluator.evaluate(architecture).log_loss for architecture, _ in trained]
    expected = kendalltau(scores, [log_loss for _, log_loss in trained]).statistic
    (own,) = [tau for settings, tau in results(done) if settings["learning_rate"] == 0.12]
    assert own == pytest.approx(expected)


def test_the_command_shows_bars_and_the_table(
    tmp_path: Path, write_job: Write, done: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [(status.name, status.state) for status in tune_status(done)] == [
        (name, "done") for name in ("data", "tune-truth", "tune")
    ]
    run = RunFolder(load_job(write_job(tmp_path, **JOB)))
    assert [(status.state, status.waits_for) for status in tune_status(run)] == [
        ("waiting", None),
        ("waiting", "data"),
        ("waiting", "data"),
    ]
    main(["tune-supernet", str(tmp_path / "job.yaml")])
    printed = capsys.readouterr().out
    assert "data: done, 1/1 data sets" in printed
    assert "tune-truth: done, 4/4 trainings" in printed
    assert "tune: done, 2/2 supernets" in printed
    assert printed.index("tune: done") < printed.index("learning_rate")
    assert results(run) == results(done)


def test_the_table_shows_settings_and_what_to_do(done: RunFolder) -> None:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(tune_table(done))
    text = console.export_text()
    assert "0.12" in text
    assert "0 *" in text
    best = settings_of(tuned(done)[0].params, done.job.tune)
    assert f"supernet: {{learning_rate: {best['learning_rate']:.4g}, path_warm_up: {best['path_warm_up']:.4g}}}" in text
    assert tau_error(20) == pytest.approx(0.162, abs=1e-3)


def test_the_table_shows_a_trial_that_somebody_added(tmp_path: Path, done: RunFolder) -> None:
    subprocess.run(["cp", "-a", str(done.path.parent), str(tmp_path / "copy")], check=True)
    copied = RunFolder(load_job(tmp_path / "copy" / "job.yaml"))
    study = found_study(copied, "tune")
    assert study is not None
    own = study.get_trials()[0]
    study.add_trial(optuna.create_trial(params=own.params, distributions=own.distributions, value=-0.75))
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(tune_table(copied))
    assert "-0.750" in console.export_text()


def test_done_it_does_nothing_and_more_trials_train_no_architecture_again(
    tmp_path: Path, write_job: Write, done: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["cp", "-a", str(done.path.parent), str(tmp_path / "copy")], check=True)
    run = RunFolder(load_job(tmp_path / "copy" / "job.yaml"))
    monkeypatch.setattr(truth, "train_by_job", None)
    before = results(run)
    tune_supernet(run)
    assert results(run) == before
    job = run.job.model_copy(update={"tune": run.job.tune.model_copy(update={"trials": 3})})
    tune_supernet(replace(run, job=job))
    assert len(results(run)) == 3
    # What was found may be copied into the job.
    taken = job.model_copy(update={"supernet": job.supernet.model_copy(update={"learning_rate": 0.3, "epochs": 3})})
    tune_supernet(replace(run, job=taken))
    other = job.model_copy(update={"supernet": job.supernet.model_copy(update={"dropout": 0.5})})
    with pytest.raises(JobError, match=r"supernet\.dropout: the tune stage"):
        tune_supernet(replace(run, job=other))


def test_what_makes_no_difference_to_its_trainings_may_change(done: RunFolder) -> None:
    retrain = done.job.retrain.model_copy(update={"top_k": 7, "pruner": "none"})
    changed = replace(done, job=done.job.model_copy(update={"retrain": retrain}))
    assert tune.TuneStage().settings(changed) == tune.TuneStage().settings(done)
    retrain = done.job.retrain.model_copy(update={"patience": 9})
    changed = replace(done, job=done.job.model_copy(update={"retrain": retrain}))
    assert tune.TuneStage().settings(changed) != tune.TuneStage().settings(done)


def test_supernets_of_the_jobs_length_are_claimed_with_it(done: RunFolder) -> None:
    job = done.job.model_copy(update={"tune": done.job.tune.model_copy(update={"epochs": None})})
    assert tune.TuneStage().settings(replace(done, job=job))["supernet.epochs"] == job.supernet.epochs
    assert "supernet.epochs" not in tune.TuneStage().settings(done)


KILLED = """
import os, signal, sys
from nasrec_automl.config import load_job
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.tune import tune_supernet

run = RunFolder(load_job(sys.argv[1]))
step = NasRecLightningModule.training_step

def dies(self, *arguments):
    if list(run.path.glob("tune/*/supernet/last.ckpt")):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)

NasRecLightningModule.training_step = dies
tune_supernet(run)
"""


@pytest.mark.slow
def test_killed_it_goes_on_from_the_supernets_checkpoint(done: RunFolder, tmp_path: Path, write_job: Write) -> None:
    path = write_job(tmp_path, **JOB)
    assert run_warm(KILLED, path).returncode == -signal.SIGKILL
    run = RunFolder(load_job(path))
    (checkpoint,) = run.path.glob("tune/*/supernet/last.ckpt")
    tune_supernet(run)
    assert not checkpoint.exists()
    assert results(run) == results(done)
    lost, again = make_study(run, "tune").get_trials()[:2]
    assert 0 < max(lost.intermediate_values) <= max(again.intermediate_values), "how far each has come"


def test_a_supernet_whose_tau_was_not_written_is_not_trained_again(
    done: RunFolder, tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(load_job(write_job(tmp_path, **JOB)))
    with monkeypatch.context() as failing:
        # Trainings from scratch have ended before.
        failing.setattr(tune, "kendall_tau", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tune_supernet(run)
    steps = watch_steps(monkeypatch, NasRecLightningModule)
    tune_supernet(run)
    assert steps.count(0) == 1, "of the second"
    assert results(run) == results(done)
    assert not list((run.path / "tune").iterdir())
    (run.path / "tune" / "left" / "supernet").mkdir(parents=True)  # killed before it was deleted
    tune_supernet(run)
    assert not list((run.path / "tune").iterdir())


@pytest.mark.parametrize("unscored", [1, 2])
def test_what_has_no_finite_score_ranks_last_and_too_many_are_a_supernet_that_diverged(
    done: RunFolder, tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch, unscored: int
) -> None:
    trained, evaluate = tune._trained(done)[0], WeightSharingEvaluator.evaluate
    best = sorted(trained, key=lambda pair: pair[1])[:unscored]

    def scored(self: WeightSharingEvaluator, architecture: Any, rivals: Any = ()) -> Score:
        log_loss = dict(trained)[architecture]  # the same order
        lost = architecture in dict(best)
        return replace(evaluate(self, architecture, rivals), log_loss=math.nan if lost else log_loss)

    monkeypatch.setattr(WeightSharingEvaluator, "evaluate", scored)
    run = RunFolder(load_job(write_job(tmp_path, **{**JOB, "tune": {**JOB["tune"], "trials": 1}})))
    tune_supernet(run)
    (trial,) = tuned(run)
    if unscored == 1:
        assert trial.values == [pytest.approx(0.0)], "the best of four ranks last: three pairs of six are in order"
        assert trial.user_attrs["nasrec:log_loss"] == min(loss for pair, loss in trained if (pair, loss) not in best)
    else:
        assert trial.state == TrialState.PRUNED
        assert trial.user_attrs["nasrec:reason"] == (
            "the training diverged at its last step: 2 of 4 scores are finite numbers"
        )


def test_where_choices_are_used_up_it_ends_and_says_so(tmp_path: Path, write_job: Write) -> None:
    settings = {**JOB["tune"], "trials": 5, "learning_rate": [0.05, 0.1], "path_warm_up": 0.2}
    run = RunFolder(load_job(write_job(tmp_path, **{**JOB, "tune": settings})))
    for _ in range(2):  # the second time there is nothing to do
        tune_supernet(run)
        assert [status.state for status in tune_status(run)] == ["done", "done", "done"]
        progress = read_progress(run.progress("tune"))
        assert progress is not None
        assert (progress.done, progress.total) == (2, 2)
        assert progress.note.startswith("best tau ")
        assert progress.note.endswith(", nothing new was found to try")
    assert not list((run.path / "tune").iterdir())


def test_it_needs_the_devices_of_its_supernets(done: RunFolder) -> None:
    """Known before the trainings from scratch, and not after them."""
    several = replace(done, job=done.job.model_copy(update={"devices": 2}))
    assert tune.TuneStage().devices(several) == SupernetStage().devices(several) == 2


def test_too_few_trainings_that_end_well_are_named(
    tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*arguments: Any, **options: Any) -> None:
        raise DivergedError("step 1: the loss is nan")

    monkeypatch.setattr(truth, "train_by_job", diverges)
    run = RunFolder(load_job(write_job(tmp_path, **JOB)))
    with pytest.raises(StudyError, match=r"0 of 4 trainings .*: raise tune\.architectures, or lower"):
        tune_supernet(run)
    with pytest.raises(StudyError, match="0 of 5 trainings from scratch ended well"):
        tune_supernet(changed(run, "tune", architectures=5))


@pytest.mark.parametrize("within", ["supernet_label", "train_truth"])
def test_a_start_that_was_stopped_before_any_supernet_holds_nobody_to_its_settings(
    tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("supernet_label", "train_truth"):
        monkeypatch.setattr(tune, name, stopped if name == within else lambda *_, **__: None)
    run = RunFolder(load_job(write_job(tmp_path, **JOB)))
    for each in (run, changed(run, "retrain", patience=9)):
        with pytest.raises(KeyboardInterrupt):
            tune_supernet(each)
    assert not [name for name in optuna.get_all_study_names(run.job.storage_url) if "-truth-" not in name]


def test_a_look_at_the_settings_makes_no_study(done: RunFolder, tmp_path: Path) -> None:
    stage = tune.TuneStage()
    elsewhere = done.job.model_copy(update={"storage": f"sqlite:///{tmp_path / 'studies.db'}"})
    stage.check(replace(done, job=elsewhere))
    assert optuna.get_all_study_names(elsewhere.storage_url) == []
    with pytest.raises(JobError, match=r"tune\.architectures: the tune stage"):
        stage.check(changed(done, "tune", architectures=5))


def test_a_run_keeps_the_job_that_it_ran_with(copied_run: RunFolder) -> None:
    noted = (copied_run.path / "job.json").read_text()
    retrain = copied_run.job.retrain.model_copy(update={"top_k": copied_run.job.retrain.top_k + 1})
    with pytest.raises(JobError, match=r"retrain\.top_k"):
        tune_supernet(RunFolder(copied_run.job.model_copy(update={"retrain": retrain})))
    assert (copied_run.path / "job.json").read_text() == noted
