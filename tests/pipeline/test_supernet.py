"""The stage that trains the supernet: killed at any point and run again, it ends with the same weights."""

import json
import signal
from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
import torch
from nni.tools.nnictl.config_utils import Experiments
from optuna.trial import TrialState
from safetensors.torch import load_file

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DivergedError, JobError, StudyError
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline import supernet as supernet_stage
from nasrec_automl.pipeline import supernet_training
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import make_study
from nasrec_automl.pipeline.supernet import (
    SupernetStage,
    _warn_of_chance,
    kept_steps,
    supernet_label,
)
from nasrec_automl.pipeline.supernet_training import training_steps
from nasrec_automl.pipeline.teachers import labels_of, teachers
from nasrec_automl.testing.examples import tiny_space
from tests.pipeline.changed import changed
from tests.pipeline.supernets import make, poisoned_step
from tests.warm import run_warm

KILLED = """
import os, signal, sys
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.supernet import SupernetStage

step = NasRecLightningModule.training_step

def dies(self, batch, batch_idx):
    if self.trainer.global_step == int(sys.argv[2]) and self.trainer.is_global_zero:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

NasRecLightningModule.training_step = dies
SupernetStage().run(RunFolder.open(sys.argv[1]))
"""


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.weights)


def points(run: RunFolder) -> list[dict[str, float]]:
    path = run.supernet / "curve.json"
    return json.loads(path.read_text()) if path.is_file() else []


def kill_behind(point: Mapping[str, float], run: RunFolder) -> None:
    """Train until two steps behind the checkpoint of a point, in a process that is killed there."""
    run.create()
    assert run_warm(KILLED, run.path, int(point["step"]) + 2).returncode == -signal.SIGKILL
    assert not run.weights.exists()


@pytest.mark.parametrize(
    "options", [{"teacher_share": 0.3}, {"epochs": 9, "validations": 27, "learning_rate": 0.8, "patience": 2}]
)
def test_killed_and_run_again_it_ends_as_an_unbroken_run(
    options: dict[str, object], tmp_path: Path, prepared: Path
) -> None:
    unbroken, broken = make(tmp_path / "a", prepared, **options), make(tmp_path / "b", prepared, **options)
    final = SupernetStage().run(unbroken)
    if "patience" in options:
        assert kept_steps(unbroken) < points(unbroken)[-1]["step"] < training_steps(unbroken), "it is to end early"

    kill_behind(points(unbroken)[1], broken)  # the last one that is surely there, where patience ends a training
    assert SupernetStage().units(broken) == (0, 1)

    steps: list[Mapping[str, float]] = []
    assert SupernetStage().run(broken, on_metrics=steps.append) == final
    assert 0 < len(steps) < len(points(unbroken)), "it went on from its checkpoint"
    torch.testing.assert_close(weights(broken), weights(unbroken), rtol=0, atol=0)
    measured = itemgetter("step", "log_loss", "auc")
    assert [*map(measured, points(broken))] == [*map(measured, points(unbroken))]


def test_several_epochs_end_where_validation_no_longer_improves(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    validated = NasRecLightningModule.on_validation_epoch_end

    def noted(self: NasRecLightningModule) -> None:
        seen.append({name: tensor.clone() for name, tensor in self.shared.supernet.state_dict().items()})
        validated(self)

    monkeypatch.setattr(NasRecLightningModule, "on_validation_epoch_end", noted)
    options = {"epochs": 9, "validations": 27, "learning_rate": 0.8, "dropout": 0.0}
    run = make(tmp_path / "a", prepared, patience=2, **options)
    metrics = SupernetStage().run(run)
    losses = [point["log_loss"] for point in points(run)]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 27, "it is to end early"
    assert metrics["log_loss"] == losses[best]
    assert kept_steps(run) == points(run)[best]["step"] < training_steps(run)
    progress = read_progress(run.progress("supernet"))
    assert progress is not None
    assert progress.note.endswith(f", ended after {points(run)[-1]['step']:,} steps, as it got no better")
    for name, tensor in weights(run).items():
        assert torch.equal(tensor, seen[best][name]), name

    seen.clear()
    whole = make(tmp_path / "b", prepared, patience=0, **options)
    assert SupernetStage().run(whole)["log_loss"] == points(whole)[-1]["log_loss"]
    progress = read_progress(whole.progress("supernet"))
    assert progress is not None
    assert "ended" not in progress.note
    assert len(points(whole)) == 27
    assert kept_steps(whole) == training_steps(whole)
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in weights(whole).items())

    # Rows that are read once cannot be learned by heart, whatever the patience.
    seen.clear()
    once = make(tmp_path / "c", prepared, patience=1, **{**options, "epochs": 1})
    SupernetStage().run(once)
    assert min(point["log_loss"] for point in points(once)) < points(once)[-1]["log_loss"], "or this shows nothing"
    assert kept_steps(once) == training_steps(once)
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in weights(once).items())


def test_what_it_leaves_behind(tmp_path: Path, prepared: Path) -> None:
    run = make(tmp_path, prepared, validations=3)
    stage, reports = SupernetStage(), []
    assert stage.units(run) == (0, 1)
    listed = Experiments().get_all_experiments()
    kept = [stage.resume_mark(run)]

    def report(metrics: Mapping[str, float]) -> None:
        reports.append(metrics)
        kept.append(stage.resume_mark(run))

    metrics = stage.run(run, on_metrics=report)
    assert kept == sorted(kept)
    assert len(set(kept)) >= 3, "each checkpoint is more to go on with"
    data = PreparedData.open(prepared)
    steps = data.rows("train") // 64
    assert set(metrics) == {"log_loss", "auc"}
    assert reports[-1] == metrics
    assert len(reports) >= 3
    assert [point["step"] for point in points(run)] == [i * (steps // 3) for i in range(1, len(reports) + 1)]
    assert not (run.supernet / "last.ckpt").exists()
    assert Experiments().get_all_experiments() == listed, "nnictl can do nothing with it"
    supernet = load_supernet(run.weights, tiny_space(), data.schema(8))
    assert supernet.layer_norm
    progress = read_progress(run.progress("supernet"))
    assert progress is not None
    assert (progress.done, progress.total) == (steps, steps)
    assert "log loss" in progress.note
    # Done, it returns at once, with the same figures, and touches nothing.
    before = run.weights.stat().st_mtime_ns
    assert stage.units(run) == (1, 1)
    assert stage.run(run) == metrics
    assert run.weights.stat().st_mtime_ns == before


def test_other_settings_are_refused_and_harm_nothing(tmp_path: Path, prepared: Path) -> None:
    SupernetStage().run(make(tmp_path, prepared, validations=1))
    before = make(tmp_path, prepared).weights.read_bytes()
    with pytest.raises(
        JobError, match=r"supernet\.learning_rate: the supernet stage .* with 0\.12, but the job says 0\.5"
    ):
        SupernetStage().run(make(tmp_path, prepared, validations=1, learning_rate=0.5))
    assert make(tmp_path, prepared).weights.read_bytes() == before


@pytest.mark.slow
def test_two_processes_train_as_one_and_go_on_after_a_kill(tmp_path: Path, prepared: Path) -> None:
    options = {"dropout": 0.0, "validations": 4, "eps": 1e-2, "learning_rate": 0.03, "teacher_share": 0.3}
    alone, broken = make(tmp_path / "a", prepared, **options), make(tmp_path / "b", prepared, devices=2, **options)
    SupernetStage().run(alone)
    threads = torch.get_num_threads()

    kill_behind(points(alone)[0], broken)
    reports: list[Mapping[str, float]] = []
    SupernetStage().run(broken, on_metrics=reports.append)
    assert 0 < len(reports) < len(points(alone)), "it went on from its checkpoint"
    # Rounding grows with the steps in float32; tests/training/test_ranks.py compares in float64.
    for mine, theirs in zip(points(broken)[-len(reports) :], points(alone)[-len(reports) :], strict=True):
        assert mine["step"] == theirs["step"]
        assert mine["log_loss"] == pytest.approx(theirs["log_loss"], rel=2e-2)
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=2e-2)
    assert not torch.distributed.is_initialized()
    assert torch.get_num_threads() == threads


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(tmp_path: Path, prepared: Path) -> None:
    unbroken, run = make(tmp_path / "a", prepared, validations=3), make(tmp_path / "b", prepared, validations=3)
    steps = PreparedData.open(prepared).rows("train") // 64
    interval = steps // 3
    with poisoned_step(interval + 2), pytest.raises(DivergedError) as caught:
        SupernetStage().run(run)
    message, checkpoint = str(caught.value), run.supernet / "last.ckpt"
    assert message.startswith(
        f"the supernet's training diverged; its last good checkpoint, after {interval} steps, is kept in {checkpoint}; "
        f"other settings need another run_folder. At step {interval + 2} of {steps}: the loss is "
    )
    assert "Lower the learning rate" in message
    assert "The step's path: block1 " in message
    assert not run.weights.exists()
    state = torch.load(checkpoint, weights_only=True)
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())
    with pytest.raises(JobError, match="learning_rate"):
        SupernetStage().run(make(tmp_path / "b", prepared, validations=3, learning_rate=0.01))
    # What is kept is worth going on from.
    assert SupernetStage().run(run) == SupernetStage().run(unbroken)


def test_a_checkpoint_that_a_crash_left_empty_is_begun_anew(tmp_path: Path, prepared: Path) -> None:
    unbroken, run = make(tmp_path / "a", prepared, validations=3), make(tmp_path / "b", prepared, validations=3)
    with poisoned_step(training_steps(run) - 1), pytest.raises(DivergedError):
        SupernetStage().run(run)
    (run.supernet / "last.ckpt").write_bytes(b"")
    assert SupernetStage().run(run) == SupernetStage().run(unbroken)


def test_a_training_that_diverges_at_once_leaves_the_folder_free(tmp_path: Path, prepared: Path) -> None:
    with poisoned_step(2), pytest.raises(DivergedError, match=r"no checkpoint yet.* At step 2 of"):
        SupernetStage().run(make(tmp_path, prepared, validations=1))
    SupernetStage().run(make(tmp_path, prepared, validations=1, learning_rate=0.01))


def test_a_taken_name_is_said_before_anything_is_trained_and_another_one_goes(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = {"storage": f"sqlite:///{tmp_path}/shared.db"}
    first, second = (
        RunFolder(make(tmp_path / name, prepared, validations=1, dropout=dropout).job.model_copy(update=storage))
        for name, dropout in (("a", 0.1), ("b", 0.2))
    )
    first.claim("supernet", SupernetStage().settings(first))
    make_study(first, "search").add_trial(optuna.create_trial(state=TrialState.FAIL))
    with monkeypatch.context() as patched:
        for name in ("supernet_label", "train_supernet"):
            patched.setattr(supernet_stage, name, lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(StudyError, match=r"'mine-search' has supernet .* choose another name for the study"):
            SupernetStage().run(second)
    SupernetStage().run(RunFolder(second.job.model_copy(update={"name": "other"})))


def test_an_interrupt_that_nni_takes_for_the_end_leaves_no_weights(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, prepared)
    with monkeypatch.context() as patched:
        patched.setattr("pytorch_lightning.Trainer.fit", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            SupernetStage().run(run)
    assert not run.weights.is_file()
    assert not SupernetStage().is_done(run)


def test_interrupted_before_its_first_checkpoint_it_takes_other_settings(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pytorch_lightning.Trainer.fit", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            SupernetStage().run(make(tmp_path, prepared))
    corrected = make(tmp_path, prepared, learning_rate=0.01)
    # A point of the curve is there before its checkpoint is.
    (corrected.supernet / "curve.json").write_text(json.dumps([{"step": 1, "log_loss": 0.0, "auc": 1.0}]))
    SupernetStage().run(corrected)
    assert min(point["log_loss"] for point in points(corrected)) > 0.1
    with pytest.raises(JobError, match=r"supernet\.learning_rate"):
        SupernetStage().run(make(tmp_path, prepared))


def test_without_layer_norm_the_full_path_of_the_full_space_says_so(tmp_path: Path, prepared: Path) -> None:
    run = make(tmp_path, prepared, layer_norm=False, sampling="full-path")
    run = RunFolder(run.job.model_copy(update={"space": "nasrec-full"}))
    with pytest.raises(DivergedError, match=r"At step 1 of .* turn layer_norm on.*: the full path of nasrec-full$"):
        SupernetStage().run(run)


@pytest.mark.parametrize(("auc", "said"), [(0.4, True), (0.51, True), (0.75, False)])
def test_a_supernet_that_has_learned_nothing_is_said_to(
    tmp_path: Path, prepared: Path, auc: float, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_of_chance(make(tmp_path, prepared), {"log_loss": 0.6, "auc": auc})
    assert (f"no better than chance (AUC {auc:.4f})" in caplog.text) is said


@pytest.mark.parametrize(("stage", "said"), [(SupernetStage(), True), (SupernetStage(lambda: None), False)])
def test_of_supernets_that_are_tried_it_is_not_said(
    tmp_path: Path, prepared: Path, stage: SupernetStage, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stage.run(make(tmp_path, prepared, learning_rate=1e-30))
    assert ("no better than chance" in caplog.text) is said


@pytest.mark.parametrize("trained", [False, True])
def test_data_prepared_again_with_other_tables_are_refused(tmp_path: Path, trained: bool) -> None:
    data = tmp_path / "prepared"
    prepare(make_synthetic(2000, 0, fields=4, dense=2, categories=10), data)
    run = make(tmp_path, data, validations=3)
    if trained:
        SupernetStage().run(run)
    else:
        with poisoned_step(15), pytest.raises(DivergedError):
            SupernetStage().run(run)
        assert (run.supernet / "last.ckpt").is_file()
    prepare(make_synthetic(2000, 0, fields=4, dense=2, categories=20), data)
    with pytest.raises(
        JobError, match=r"the supernet stage in .* was started with other rows; they were prepared again"
    ):
        SupernetStage().run(run)


def labels_seen(monkeypatch: pytest.MonkeyPatch, run: RunFolder, stage: SupernetStage | None = None) -> torch.Tensor:
    """What a supernet's training is given as labels of the train part."""
    seen: list[torch.Tensor] = []
    batches = supernet_training.TrainingBatches

    def watched(rows: Rows, *arguments: object, **options: object) -> object:
        seen.append(rows.batch(slice(None))[2])
        return batches(rows, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(supernet_training, "TrainingBatches", watched)
        (stage or SupernetStage()).run(run)
    return seen[-1]


def taught(run: RunFolder, share: float) -> torch.Tensor:
    label = labels_of(run, {Part.TRAIN: [*teachers(run).values()]}, share=share)
    assert label is not None
    return torch.from_numpy(label)


def test_it_learns_from_the_teachers_of_the_run(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, alone = (make(tmp_path / name, prepared, teacher_share=share) for name, share in (("a", 0.3), ("b", 0.0)))
    own = PreparedData.open(prepared).part(Part.TRAIN).batch(slice(None))[2]
    assert torch.equal(labels_seen(monkeypatch, alone), own)
    assert torch.equal(labels_seen(monkeypatch, run), taught(run, 0.3))
    assert not torch.equal(taught(run, 0.3), own)
    assert sorted(path.name for path in run.supernet.iterdir() if path.is_file()) == ["curve.json", run.weights.name]


def test_labels_of_a_start_that_left_nothing_else_are_forgotten(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, prepared, teacher_share=0.3)
    with monkeypatch.context() as patched:
        patched.setattr(supernet_stage, "train_supernet", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            SupernetStage().run(run)
    assert (run.supernet / "labels.npy").is_file()
    own = PreparedData.open(prepared).part(Part.TRAIN).batch(slice(None))[2]
    assert torch.equal(labels_seen(monkeypatch, make(tmp_path, prepared, teacher_share=0.0)), own)


def test_labels_may_be_those_of_another_run_s_teachers(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = (make(tmp_path / name, prepared, teacher_share=0.3) for name in "ab")
    assert torch.equal(labels_seen(monkeypatch, other, SupernetStage(partial(supernet_label, run))), taught(run, 0.3))
    assert not other.retrained.exists()


def test_without_teachers_it_learns_from_labels_alone(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, prepared, teacher_share=0.3)
    run = changed(run, "retrain", teachers=0)
    own = PreparedData.open(prepared).part(Part.TRAIN).batch(slice(None))[2]
    assert torch.equal(labels_seen(monkeypatch, run), own)


def test_who_teaches_is_held_to_once_there_is_a_checkpoint_and_counts_before(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, prepared, teacher_share=0.3)
    assert SupernetStage().resume_mark(run) == (0, 0, 0, 0)
    with monkeypatch.context() as patched:
        patched.setattr(supernet_stage, "train_supernet", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            SupernetStage().run(run)
    assert SupernetStage().resume_mark(run) == (0, 0, 4, 0), "a later start has the teachers"
    fewer = changed(run, "retrain", teachers=2)
    SupernetStage().check(fewer)
    (run.supernet / "last.ckpt").touch()
    with pytest.raises(JobError, match=r"retrain\.teachers: the supernet stage .* started with 5, but the job says 2"):
        SupernetStage().check(fewer)
