"""The retrain stage of a finished run, and a done one that is asked for more."""

import copy
import os
import re
import signal
from collections import Counter
from typing import Any
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.trial import TrialState

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.hyper_space import HyperSpace, load_hyper_space
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import retrain as retrain_module
from nasrec_automl.pipeline.candidates import candidates, retrain_study_name
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.named import retrain_named
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.status import retrain_is_noted, run_status
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.pipeline.subnets import best_trials, check_subnets, drop_beaten, trial_weights, weights_path
from nasrec_automl.processes import own_host
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import WORKER
from nasrec_automl.search.stale import worker_id
from nasrec_automl.training.keep_best import Checkpoints
from nasrec_automl.training.module import ClickModule
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps
from tests.warm import run_warm


def study_of(run: RunFolder) -> optuna.Study:
    return optuna.load_study(
        study_name=read_json(run.retrain_done)["study"], storage=f"sqlite:///{run.path / 'studies.db'}"
    )


def test_the_study_has_as_many_trainings_as_were_asked(finished_run: RunFolder) -> None:
    trials = study_of(finished_run).trials
    states = Counter(trial.state.name for trial in trials)
    assert set(states) <= {"COMPLETE", "PRUNED"}
    assert sum(states.values()) == 6
    noted = read_json(finished_run.retrain_done)
    assert noted == {"study": retrain_study_name(finished_run), "target": 6, "timeout": None, "trainings": 6}
    assert noted["study"].startswith("tiny-retrain-")
    assert RetrainStage().units(finished_run) == (6, 6)


def test_every_candidate_is_trained(finished_run: RunFolder) -> None:
    names = [trial.params["architecture"] for trial in study_of(finished_run).trials]
    assert set(names) == set(candidates(finished_run))
    assert set(names) == set(best_trials(study_of(finished_run)))


def test_the_best_subnet_of_each_is_kept_and_is_what_the_study_says(finished_run: RunFolder) -> None:
    data = PreparedData.open(finished_run.data)
    best = best_trials(study_of(finished_run))
    paths = set()
    for name, trial in best.items():
        hyper = Hyper.of(trial.params, finished_run.job.retrain.space)
        path = weights_path(finished_run, study_of(finished_run).study_name, name, hyper)
        paths.add(path)
        measured = measure_subnet(load_subnet(path), data.part(Part.HPO))
        assert measured.log_loss == pytest.approx(trial.value, abs=1e-6)
        assert measured.auc == pytest.approx(trial.user_attrs["nasrec:auc"], abs=1e-6)
        assert trial.user_attrs["nasrec:step"] > 0
    assert {path for path in finished_run.retrained.glob("*.safetensors") if "teacher-" not in path.name} == paths


def test_a_training_that_has_come_further_is_work_done(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = changed(copied_run, "retrain", trials=copied_run.job.retrain.trials + 1)
    # It looks at all checkpoints, too.
    monkeypatch.setattr(retrain_module, "resume_mark_of_teachers", lambda run: ())
    kept, write = [RetrainStage().resume_mark(run)], Checkpoints.on_validation_end

    def watched(self: Checkpoints, *arguments: Any) -> None:
        write(self, *arguments)
        kept.append(RetrainStage().resume_mark(run))

    monkeypatch.setattr(Checkpoints, "on_validation_end", watched)
    RetrainStage().run(run)
    assert kept == sorted(kept)
    assert len(set(kept)) >= 3


def test_curves_are_in_the_study(finished_run: RunFolder) -> None:
    for trial in study_of(finished_run).trials:
        assert trial.intermediate_values
        if trial.state.name == "COMPLETE":
            # A training that is measured more often than others leaves points out.
            assert min(trial.intermediate_values.values()) == pytest.approx(trial.value, abs=1e-3)


def test_more_trainings_go_on_from_the_old_ones(copied_run: RunFolder) -> None:
    before = [(trial.params, trial.values) for trial in study_of(copied_run).trials]
    grown = changed(copied_run, "retrain", trials=8)
    assert RetrainStage().units(grown) == (6, 8)
    heard = []
    final = RetrainStage().run(grown, on_metrics=heard.append)
    assert heard
    assert RetrainStage().units(grown) == (8, 8)
    trials = study_of(copied_run).trials
    assert len(trials) == 8
    assert [(trial.params, trial.values) for trial in trials[:6]] == before
    assert final == {"log_loss": study_of(copied_run).best_value}


KILLED = """
import os, signal, sys
from nasrec_automl.config import load_job
from nasrec_automl.pipeline import retrain
from nasrec_automl.pipeline.run_folder import RunFolder

run, train = RunFolder(load_job(sys.argv[1])), retrain.train_by_job

def dies(run, architecture, hyper, report, **options):
    def reported(step, metrics):
        if list(run.retrained.glob("*.ckpt")) and reported.count == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        reported.count += 1
        return report(step, metrics)
    reported.count = 0
    return train(run, architecture, hyper, reported, **options)

retrain.train_by_job = dies
retrain.RetrainStage().run(run)
"""


def test_a_killed_training_goes_on_where_it_was(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same study, emptied, with its first training killed at the third validation of four."""
    whole = study_of(copied_run).trials
    half_written = copied_run.retrained / ".a-12345678.ckpt.host.1.partial"
    being_written = copied_run.retrained / ".final-teacher-a-12345678.safetensors.host.2.partial"
    optuna.delete_study(study_name=retrain_study_name(copied_run), storage=f"sqlite:///{copied_run.path}/studies.db")
    for path in {*copied_run.retrained.iterdir()} - {*copied_run.retrained.glob("teacher-*")}:
        path.unlink()
    assert run_warm(KILLED, copied_run.path.parent / "job.yaml").returncode == -signal.SIGKILL
    (checkpoint,) = copied_run.retrained.glob("*.ckpt")
    went_so_far = torch.load(checkpoint, weights_only=True)["global_step"]
    assert went_so_far > 0
    half_written.touch()
    being_written.touch()
    steps = watch_steps(monkeypatch)
    RetrainStage().run(copied_run, count=1)
    assert steps[0] == went_so_far
    assert not checkpoint.exists()
    RetrainStage().run(copied_run)
    assert not list(copied_run.retrained.glob("*.ckpt"))
    assert not half_written.exists()
    assert being_written.exists(), "by one who trains by name"
    found = [trial for trial in study_of(copied_run).trials if trial.state.name != "FAIL"]
    assert len(found) == 6
    for one, other in zip(found, whole, strict=True):
        assert (one.params, one.state, one.values) == (other.params, other.state, other.values)
        assert one.intermediate_values == other.intermediate_values


def test_another_hyper_parameter_space_is_refused_by_name(copied_run: RunFolder) -> None:
    space = copied_run.job.retrain.space
    other = space.model_copy(update={"table_cap": load_hyper_space("retrain-size").table_cap})
    with pytest.raises(JobError, match=r"retrain\.space\.table_cap\.choices: the retrain stage"):
        RetrainStage().run(changed(copied_run, "retrain", space=other, trials=8))


@pytest.mark.parametrize(("name", "value"), [("max_epochs", 3), ("top_k", 1), ("eps", 0.5)])
def test_other_settings_are_refused_by_name(copied_run: RunFolder, name: str, value: float) -> None:
    with pytest.raises(JobError, match=rf"retrain\.{name}: the retrain stage .* but the job says {value}"):
        RetrainStage().run(changed(copied_run, "retrain", **{name: value, "trials": 8}))
    assert len(study_of(copied_run).trials) == 6


def test_a_training_that_diverges_is_pruned_with_the_reason_and_the_study_goes_on(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trainings = ClickModule.training_step, []

    def poisoned(self: ClickModule, batch: object, batch_idx: int) -> torch.Tensor:
        if self not in trainings:
            trainings.append(self)
        # After the first validation: what is finite so far makes the training no contender.
        bad = self is trainings[0] and self.metrics is not None
        return train(self, batch, batch_idx) * (torch.nan if bad else 1)

    monkeypatch.setattr(ClickModule, "training_step", poisoned)
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: False)  # it is to live until it diverges
    kept = set(copied_run.retrained.glob("*.safetensors"))
    RetrainStage().run(changed(copied_run, "retrain", trials=8))
    assert len(trainings) == 2
    diverged, after = study_of(copied_run).trials[6:]
    assert diverged.state.name == "PRUNED"
    assert diverged.intermediate_values
    assert "nasrec:step" not in diverged.user_attrs
    reason = diverged.user_attrs["nasrec:reason"]
    assert reason.startswith("the training diverged at step ")
    assert "the norm of the gradients nan" in reason
    assert after.state.name in ("COMPLETE", "PRUNED")
    assert after.user_attrs.get("nasrec:reason") != reason
    hyper = Hyper.of(diverged.params, copied_run.job.retrain.space)
    weights = weights_path(copied_run, study_of(copied_run).study_name, diverged.params["architecture"], hyper)
    assert weights not in kept
    assert not weights.exists()


def test_in_another_database_nothing_is_trained_again(copied_run: RunFolder) -> None:
    noted = read_json(copied_run.retrain_done)
    copied_run.retrain_done.unlink()
    copied_run.final.unlink()
    url = f"sqlite:///{copied_run.path / 'other.db'}"
    moved = RunFolder(copied_run.job.model_copy(update={"storage": url}))
    for act in (run_job, lambda run: retrain_named(run, "hand-mlp"), RetrainStage().run, RetrainStage().is_done):
        with pytest.raises(RunFolderError, match=r"no trial of its study 'tiny-search' in sqlite:.*other\.db"):
            act(moved)
    assert optuna.get_all_study_names(url) == []
    optuna.copy_study(from_study_name="tiny-search", from_storage=copied_run.job.storage_url, to_storage=url)
    write_json(copied_run.retrain_done, noted)
    more = changed(moved, "retrain", trials=noted["target"] + 1)
    for stage, run in ((FinalStage(), moved), (RetrainStage(), more)):
        with pytest.raises(RunFolderError, match=f"no trial of its study '{noted['study']}'"):
            stage.run(run)


def test_a_study_whose_networks_are_elsewhere_is_refused(copied_run: RunFolder) -> None:
    copied_run.retrain_done.unlink()
    for left in copied_run.retrained.glob("*.safetensors"):
        left.unlink()
    with pytest.raises(
        RunFolderError, match=r"trainings whose networks are not here.*another `name` and run_folder, or"
    ):
        RetrainStage().run(copied_run)


def test_a_stage_out_of_time_ends_with_what_was_trained(copied_run: RunFolder) -> None:
    def of(timeout: str | None) -> RunFolder:
        config = copied_run.job.retrain.model_copy(update={"trials": 90, "timeout": timeout})
        return RunFolder(copied_run.job.model_copy(update={"retrain": config}))

    late = of("1s")
    assert not RetrainStage().is_done(late)
    RetrainStage().run(late)
    assert RetrainStage().is_done(late)
    noted = read_json(late.retrain_done)
    assert noted["target"] == 90
    assert 6 <= noted["trainings"] < 90
    progress = read_json(late.progress("retrain"))
    assert (progress["done"], progress["total"]) == (noted["trainings"], 90)
    assert progress["note"].endswith(", no more after 1s")
    assert not RetrainStage().is_done(of("1h"))


@pytest.mark.parametrize(("batch_size", "distinct"), [(10**6, 6), (1000, 12)])
def test_a_curve_is_over_equal_shares_of_the_schedule(copied_run: RunFolder, batch_size: int, distinct: int) -> None:
    space = {**copied_run.job.retrain.space.model_dump(), "batch_size": [batch_size]}
    lengths = {"max_epochs": 6, "validations_per_epoch": 2, "patience": 100}
    run = changed(copied_run, "retrain", space=HyperSpace.model_validate(space), **lengths, teachers=0)
    RetrainStage()._run(changed(run, "retrain", trials=20), 1, lambda metrics: None, 1)
    (trial,) = begun_study(run, "retrain").get_trials()[-1:]
    assert list(trial.intermediate_values) == list(range(1, 13))
    assert len({*trial.intermediate_values.values()}) == distinct


def test_a_training_is_not_pruned_at_its_end_for_what_it_passed_on_the_way(copied_run: RunFolder) -> None:
    space = {**copied_run.job.retrain.space.model_dump(), "batch_size": [10**6]}
    lengths = {"max_epochs": 1, "validations_per_epoch": 5}  # a single validation, past the fourth fifth
    run = changed(copied_run, "retrain", space=HyperSpace.model_validate(space), **lengths, teachers=0, trials=16)
    RetrainStage()._run(run, None, lambda metrics: None, 1)
    trials = begun_study(run, "retrain").get_trials()[6:]
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2, 3, 4, 5]] * 10
    assert {trial.state.name for trial in trials} == {"COMPLETE"}


@pytest.mark.parametrize("teachers", [0, 2])
def test_its_trainings_begin_as_taught_where_there_are_teachers(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, teachers: int
) -> None:
    begun = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(retrain_module, "retrain", begun)
    run = changed(copied_run, "retrain", teachers=teachers, trials=copied_run.job.retrain.trials + 1)
    with pytest.raises(KeyboardInterrupt):
        RetrainStage()._run(run, None, lambda metrics: None, 1)
    assert begun.call_args.kwargs["taught"] == (teachers > 0)


@pytest.mark.parametrize("fails", ["pipeline.retrain.save_network", "search.ledger.Ledger.finish"])
def test_a_training_whose_outcome_was_not_written_goes_on_from_its_last_checkpoint(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    optuna.delete_study(study_name=retrain_study_name(copied_run), storage=f"sqlite:///{copied_run.path}/studies.db")
    for path in {*copied_run.retrained.iterdir()} - {*copied_run.retrained.glob("teacher-*")}:
        path.unlink()
    with monkeypatch.context() as failing:
        failing.setattr(f"nasrec_automl.{fails}", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            RetrainStage().run(copied_run)
    (checkpoint,) = copied_run.retrained.glob("*.ckpt")
    steps = watch_steps(monkeypatch)
    RetrainStage().run(copied_run, count=1)
    assert steps[0] > 0
    assert not checkpoint.exists()


def test_its_note_says_how_far_a_training_has_come(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = changed(copied_run, "retrain", trials=copied_run.job.retrain.trials + 1)
    train, notes = retrain_module.train_by_job, []

    def watched(run: RunFolder, architecture: object, hyper: object, report: Any, **options: Any) -> object:
        def reported(step: int, metrics: object) -> object:
            stops = report(step, metrics)
            progress = read_json(run.progress("retrain"))
            notes.append((progress["done"], progress["note"].split(", ")[-1]))
            return stops

        return train(run, architecture, hyper, reported, **options)

    monkeypatch.setattr(retrain_module, "train_by_job", watched)
    RetrainStage().run(run)
    assert notes
    assert all(done == 6 and re.fullmatch(r"step \d+ of at most \d+", words) for done, words in notes)
    assert "step" not in read_json(run.progress("retrain"))["note"]


def test_what_other_workers_have_trained_counts_at_once(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    update = ProgressWriter.update

    def watched(self: ProgressWriter, done: int, note: str = "", **options: Any) -> None:
        told.append(done)
        update(self, done, note, **options)

    train = retrain_module.train_by_job

    def while_others_end_one(run: RunFolder, *arguments: Any, **options: Any) -> Any:
        study = begun_study(run, "retrain")
        of_others = copy.deepcopy(next(trial for trial in study.trials if trial.state == TrialState.COMPLETE))
        study.add_trial(of_others)
        return train(run, *arguments, **options)

    monkeypatch.setattr(retrain_module, "train_by_job", while_others_end_one)
    monkeypatch.setattr(ProgressWriter, "update", watched)
    run = changed(copied_run, "retrain", trials=8)
    RetrainStage().run(run)
    assert told == sorted(told)
    assert 7 in told, "one of others ended while the first training went on"
    assert told.count(7) > 1


def test_what_another_worker_still_trains_is_kept_at_the_end(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "retrain")
    ended = study.get_trials(states=(TrialState.COMPLETE,))[0]
    left = {}
    for worker, dropout in ((worker_id(), 0.11), (f"{own_host()}:{os.getpid()}:1.00:gone", 0.22)):
        params = {**ended.params, "dropout": dropout}
        attrs = {**ended.user_attrs, WORKER: worker}
        trial = optuna.create_trial(
            state=TrialState.RUNNING, params=params, distributions=ended.distributions, user_attrs=attrs
        )
        study.add_trial(trial)
        weights = trial_weights(copied_run, study, trial)
        beside = weights.with_name(f".{weights.name}.{own_host()}.1.a.partial")
        left[worker] = (weights.with_suffix(".ckpt"), beside)
        for path in left[worker]:
            path.touch()
    retrain_module._drop_unfinished(copied_run, study)
    assert [[path.exists() for path in paths] for paths in left.values()] == [[True, True], [False, False]]


def test_a_copy_of_the_best_training_does_not_cost_its_subnet(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "retrain")
    before = best_trials(study)
    for trial in before.values():
        study.add_trial(trial)
    drop_beaten(copied_run, study)
    check_subnets(copied_run, study)
    assert {name: trial.values for name, trial in best_trials(study).items()} == {
        name: trial.values for name, trial in before.items()
    }


def test_a_search_names_the_study_of_its_candidates(copied_run: RunFolder) -> None:
    """It is of the job as it was: until the retrain stage begins, its section may change."""
    top = read_json(copied_run.top)
    assert top["retrain"] == retrain_study_name(copied_run)
    assert retrain_is_noted(copied_run)
    write_json(copied_run.top, {**top, "retrain": "tiny-retrain-of-others"})
    assert not retrain_is_noted(copied_run)
    assert not RetrainStage().is_done(copied_run)
    RetrainStage().run(copied_run)
    assert read_json(copied_run.top) == top
    assert RetrainStage().is_done(copied_run)


def test_while_other_candidates_are_trained_the_stage_is_not_done(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = read_json(copied_run.top)
    write_json(copied_run.top, {**top, "top": top["top"][::-1]})

    def looks(*arguments: object, **options: object) -> None:
        states = {status.name: status.state for status in run_status(copied_run)}
        assert states["retrain"] == "interrupted"
        assert states["final"] == states["report"] == "waiting"
        raise KeyboardInterrupt

    monkeypatch.setattr(retrain_module, "train_by_job", looks)
    with pytest.raises(KeyboardInterrupt):
        RetrainStage().run(copied_run)
