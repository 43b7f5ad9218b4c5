"""Architectures of a run by their names, trained into models of their own."""

import json
import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import optuna
import pandas as pd
import pytest
import torch

from nasrec_automl import load_architecture, load_model, load_search_space
from nasrec_automl.config import DataConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import ArchitectureError, CheckpointError, DivergedError, InUseError, RunFolderError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.pipeline import named
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.export import export_model
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.named import NamedModel, find_architecture, prepare_for, retrain_named
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import train_by_job, with_settings
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.studies import begun_study, make_study
from nasrec_automl.pipeline.subnets import best_trials
from nasrec_automl.pipeline.teachers import taught_label
from nasrec_automl.search import Hyper
from nasrec_automl.search.distributions import distributions
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.module import ClickModule
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps


@pytest.fixture
def run(front_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the run with two objectives, whose test part is gone: nothing here reads it."""
    subprocess.run(["cp", "-a", str(front_run.path), str(tmp_path / "run")], check=True)
    copied = RunFolder.open(tmp_path / "run")
    shutil.rmtree(copied.data / "test")
    return copied


def keys(run: RunFolder) -> list[str]:
    return [trial.user_attrs["nasrec:key"] for trial in begun_study(run, "search").get_trials()]


def others(run: RunFolder) -> list[str]:
    """Keys that were scored, and not trained."""
    trained = {candidate.architecture.key for candidate in candidates(run).values()}
    return [key for key in keys(run) if key not in trained]


def test_what_the_retrain_study_has_trained_keeps_its_own_hyper_parameters(run: RunFolder) -> None:
    name, architecture = next((n, a.architecture) for n, a in candidates(run).items() if not n.startswith("hand-"))
    model = retrain_named(run, name)
    assert (model.folder, model.name, model.source) == (run.models / name, name, "own")
    loaded = load_model(model.folder)
    assert loaded.architecture.key == architecture.key == name
    noted = read_json(model.folder / "result.json")
    own = best_trials(begun_study(run, "retrain"))[name]
    hyper = Hyper.of(own.params, run.job.retrain.space)
    assert noted["hyper_parameters"] == {"source": "own", **asdict(with_settings(run.job, hyper))}
    contender = next(c for c in read_json(run.final)["contenders"] if c["name"] == name)
    assert noted["validation"] == pytest.approx(contender["validation"], abs=1e-6)
    assert noted["macs"] == contender["macs"]
    # The model that is kept has seen the choice part; its score there is none.
    choice = PreparedData.open(run.data).part(Part.CHOICE)
    assert measure_subnet(loaded.subnet, choice).log_loss != pytest.approx(model.validation.log_loss, abs=1e-6)


def test_every_contender_is_worth_what_the_run_says_of_it(run: RunFolder) -> None:
    contenders = read_json(run.final)["contenders"]
    assert len(contenders) > 1
    for contender in contenders:
        noted = read_json(retrain_named(run, contender["name"]).folder / "result.json")
        assert noted["validation"] == pytest.approx(contender["validation"], abs=1e-6)


def test_the_winner_by_name_is_the_final_model(run: RunFolder, tmp_path: Path) -> None:
    winner = read_json(run.final)["winner"]
    model = retrain_named(run, winner, tmp_path / "mine")
    assert model.folder == tmp_path / "mine"
    again, best = (load_model(folder).subnet.state_dict() for folder in (model.folder, run.best))
    assert all(torch.equal(again[name], best[name]) for name in best)
    for name in ("architecture.json", "hyper_parameters.json", "preprocessing.json"):
        assert (model.folder / name).read_bytes() == (run.best / name).read_bytes()


def test_a_models_folder_is_its_architecture_and_its_hyper_parameters(run: RunFolder) -> None:
    own = read_json(run.result)["hyper_parameters"]
    assert read_json(run.best / "hyper_parameters.json") == own
    given = {**own, "learning_rate": own["learning_rate"] / 2}
    write_json(run.best / "hyper_parameters.json", given)
    model = retrain_named(run, str(run.best))
    assert (model.name, model.source) == (read_json(run.result)["key"], "given")
    assert model.lines[0].endswith("with the hyper-parameters of the model that was named")
    assert read_json(model.folder / "result.json")["hyper_parameters"] == {"source": "given", **given}
    assert read_json(model.folder / "hyper_parameters.json") == given
    other = retrain_named(run, model.name, run.models / "own")
    assert model.validation != other.validation


def test_a_model_is_trained_again_in_a_run_that_has_nothing_but_data(run: RunFolder) -> None:
    data = DataConfig(source="prepared", input=run.data)
    new = RunFolder(run.job.model_copy(update={"run_folder": run.path.with_name("new"), "data": data}))
    model = retrain_named(new, str(run.best))
    assert model.folder.parent == new.models
    assert model.source == "given"
    assert RunFolder.open(new.path).job == new.job


def test_settings_of_the_job_go_with_a_model(run: RunFolder) -> None:
    data = DataConfig(source="prepared", input=run.data)
    job = run.job.model_copy(update={"run_folder": run.path.with_name("new"), "data": data, "embedding_dim": 4})
    assert run.job.embedding_dim != 4
    model = retrain_named(RunFolder(job), str(run.best))
    assert load_model(model.folder).subnet.schema.embedding_dim == run.job.embedding_dim
    noted = read_json(run.best / "hyper_parameters.json")
    assert (noted["embedding_dim"], noted["layer_norm"]) == (run.job.embedding_dim, run.job.retrain.layer_norm)
    again = RunFolder(job.model_copy(update={"seed": 7}))
    retrain_named(again, "hand-mlp")
    assert RunFolder.open(again.path).job.seed == 7, "no stage has begun: the job may be edited"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "no such file"),
        ("no JSON", "Invalid JSON.*"),
        ({"optimizer": None}, r"optimizer: Input should be 'adagrad', 'adam' or 'sgd', but it is empty"),
        ({"learning_rate": -0.1}, r"learning_rate: Input should be greater than 0, but it is -0\.1"),
        ({"batch_size": 0}, "batch_size: Input should be greater than or equal to 1, but it is 0"),
    ],
)
def test_hyper_parameters_that_are_not_those_of_this_version_are_refused(
    run: RunFolder, change: str | dict[str, Any] | None, reason: str
) -> None:
    file = run.best / "hyper_parameters.json"
    given = read_json(file)
    file.unlink()
    if change is not None:
        file.write_text(change if isinstance(change, str) else json.dumps(given | change))
    with pytest.raises(ArchitectureError, match=rf"hyper_parameters\.json: {reason}; name .*/architecture\.json inst"):
        retrain_named(run, str(run.best))


def test_any_other_takes_the_best_ones_and_is_measured_before_it_sees_the_choice_part(run: RunFolder) -> None:
    key = others(run)[0]
    heard: list[str] = []
    model = retrain_named(run, key, tell=lambda words: heard.append(words.partition(",")[0]))
    assert model.source == "best"
    assert list(dict.fromkeys(heard)) == [
        "training without validation rows",
        *(f"final training {number} of 2" for number in (1, 2)),
    ]
    best = min(best_trials(begun_study(run, "retrain")).values(), key=lambda trial: trial.values[0])
    hyper = Hyper.of(best.params, run.job.retrain.space)
    noted = read_json(model.folder / "result.json")["hyper_parameters"]
    assert noted == {"source": "best", **asdict(with_settings(run.job, hyper))}
    assert load_model(model.folder).architecture.key == key
    assert 0.3 < model.validation.log_loss < 1
    again = retrain_named(run, key, run.models / "again")
    assert again.validation == model.validation
    architecture, label = load_model(again.folder).architecture, taught_label(run)
    alone = train_by_job(run, architecture, hyper, lambda step, metrics: False, label=label)
    choice = PreparedData.open(run.data).part(Part.CHOICE)
    assert measure_subnet(alone.subnet, choice) == model.validation


def test_its_teachers_are_heard_of_where_they_are_trained_first(run: RunFolder) -> None:
    study, told = make_study(run, "teachers"), []
    study._storage.delete_study(study._study_id)
    retrain_named(run, others(run)[0], tell=told.append)
    assert told[0] == "trains its teachers: 0 of 3"
    assert told[1].startswith("trains its teachers: 0 of 3, step ")


class _KilledError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("at", ["training without validation rows", "final training 1 of 2", "final training 2 of 2"])
def test_a_call_that_was_killed_goes_on_where_it_was(run: RunFolder, at: str) -> None:
    key = others(run)[0]
    heard: list[str] = []

    def dying(words: str) -> None:
        heard.append(words)
        if sum(one.startswith(at) for one in heard) == 2:
            raise _KilledError

    whole = retrain_named(run, key, run.models / "whole")
    with pytest.raises(_KilledError):
        retrain_named(run, key, tell=dying)
    assert not (run.models / key).exists()
    again: list[str] = []
    model = retrain_named(run, key, tell=again.append)
    # A training that was broken tells again what it had measured.
    ended = {one.partition(",")[0] for one in heard} - {at}
    assert {one.partition(",")[0] for one in again}.isdisjoint(ended)
    assert again[:2] == [one for one in heard if one.startswith(at)]
    assert model.validation == whole.validation
    expected, found = (load_model(one.folder).subnet.state_dict() for one in (whole, model))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not [*run.models.glob(".*")]


def test_what_a_call_left_that_was_killed_at_its_end_goes(run: RunFolder) -> None:
    key = find_architecture(run, "hand-mlp")[1].key
    left = run.models / f".{key}.{os.getpid()}" / "final.ckpt"  # in a container all have the same number
    left.parent.mkdir(parents=True)
    left.touch()
    retrain_named(run, "hand-mlp")
    assert not [*run.models.glob(".*")]


def test_a_training_whose_network_was_not_saved_goes_on_from_its_last_checkpoint(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = others(run)[0]
    with monkeypatch.context() as failing:
        failing.setattr("nasrec_automl.pipeline.last_trainings.save_network", Mock(side_effect=_KilledError))
        with pytest.raises(_KilledError):
            retrain_named(run, key)
    steps = watch_steps(monkeypatch)
    retrain_named(run, key)
    assert steps[0] > 0
    assert not [*run.models.glob(".*")]


@pytest.mark.slow
def test_what_a_killed_call_left_with_other_settings_does_not_count(run: RunFolder) -> None:
    shutil.rmtree(run.path / "stages")  # as of a job that trains by name alone: no stage holds its settings

    def dying(words: str) -> None:
        if words.startswith("final"):
            raise _KilledError

    heard: list[str] = []
    wider = RunFolder(run.job.model_copy(update={"embedding_dim": run.job.embedding_dim * 2}))
    for other in (changed(run, "retrain", patience=run.job.retrain.patience + 1), wider):
        heard.clear()
        with pytest.raises(_KilledError):
            retrain_named(run, "hand-mlp", tell=dying)
        retrain_named(other, "hand-mlp", tell=heard.append)
        own = [words for words in heard if "its teachers" not in words]
        assert own[0].startswith("training without validation rows,")


def test_what_a_killed_call_left_counts_when_a_limit_has_grown(run: RunFolder) -> None:
    def dying(words: str) -> None:
        if words.startswith("final"):
            raise _KilledError

    key = others(run)[0]
    with pytest.raises(_KilledError):
        retrain_named(run, key, tell=dying)
    heard: list[str] = []
    grown = changed(run, "retrain", timeout="9h", trials=run.job.retrain.trials + 1)
    retrain_named(grown, key, tell=heard.append)
    assert heard[0].startswith("final training 1 of 2,")


def test_what_a_killed_call_left_counts_when_there_are_to_be_more_final_trainings(run: RunFolder) -> None:
    (run.path / "stages" / "final.json").unlink()  # it has not begun

    def dying(words: str) -> None:
        if words.startswith("final training 2"):
            raise _KilledError

    key = others(run)[0]
    with pytest.raises(_KilledError):
        retrain_named(run, key, tell=dying)
    heard: list[str] = []
    retrain_named(changed(run, "retrain", final_seeds=run.job.retrain.final_seeds + 1), key, tell=heard.append)
    assert heard[0].startswith("final training 2 of 3,")


def test_two_processes_do_not_train_one_architecture_at_once(run: RunFolder) -> None:
    key = others(run)[0]
    with run.lock(inside=run.models / f".{key}"):
        assert not run.in_use(), "no stage waits for it"
        with pytest.raises(
            InUseError, match=rf"{key}: in use by process \d+ on [^@]+, since [^,]+; wait until it ends$"
        ):
            retrain_named(run, key)


def test_before_the_retrain_stage_the_default_ones(run: RunFolder) -> None:
    (run.path / "stages" / "retrain.json").unlink()
    studies = optuna.get_all_study_names(run.job.storage_url)
    assert retrain_named(run, "hand-mlp").source == "default"
    assert optuna.get_all_study_names(run.job.storage_url) == studies


def test_the_model_predicts_and_exports(run: RunFolder) -> None:
    model = retrain_named(run, keys(run)[0])
    frame: pd.DataFrame = make_synthetic(**{"rows": 100_000, "seed": 0, **run.job.data.options}).frame.head(50)
    expected = load_model(model.folder).predict(frame)
    assert expected.shape == (50,)
    path = export_model(model.folder, "torch")
    assert path == model.folder / "model.pt2"
    dense, ids = load_model(model.folder).preprocessing.transform(frame)
    found = torch.export.load(path).module()(torch.from_numpy(dense), torch.from_numpy(ids))[0]
    assert found.detach().numpy() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(CheckpointError, match="no model"):
        export_model(run.path)


def test_the_command_to_predict_can_be_copied() -> None:
    quality = Metrics(log_loss=0.5, auc=0.7, standard_error=0.1, rows=9)
    lines = NamedModel(Path("my run/models/k"), "k", quality, "own", {}).lines
    assert "`nasrec-automl predict --model 'my run/models/k' --input FILE --output FILE`" in lines[1]


def test_names(run: RunFolder) -> None:
    key = keys(run)[-1]
    length = next(n for n in range(1, 17) if sum(other.startswith(key[:n]) for other in keys(run)) == 1)
    name, architecture = find_architecture(run, key[:length])
    assert name == architecture.key == key
    assert find_architecture(run, "hand-dlrm")[0] == "hand-dlrm"
    assert find_architecture(run, "criteo-full") == ("criteo-full", load_architecture("criteo-full"))
    file = run.path / "best" / "architecture.json"  # of any run; its space is this run's
    winner = load_architecture(file, load_search_space(run.job.space))
    assert find_architecture(run, str(file)) == (winner.key, winner)
    with pytest.raises(ArchitectureError, match=r"no architecture 'gone\.json': expected a JSON file"):
        find_architecture(run, "gone.json")


def test_a_trial_that_somebody_added_has_a_name_too(run: RunFolder) -> None:
    space, study = load_search_space(run.job.space), begun_study(run, "search")
    known = set(keys(run))
    mine = next(a for seed in range(99) if (a := space.random(_rng(seed))).key not in known)
    study.add_trial(optuna.create_trial(params=mine.params, distributions=distributions(space), values=[0.5, 10]))
    assert find_architecture(run, mine.key[:12]) == (mine.key, mine)


def _rng(seed: int) -> object:
    import numpy as np

    return np.random.default_rng(seed)


def test_a_name_that_is_none_or_many(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchitectureError, match=r"no architecture 'nobody' in .*20 trials.*hand-mlp.*criteo-full"):
        find_architecture(run, "nobody")
    monkeypatch.setattr(named, "hand_designs", lambda space: {})
    with pytest.raises(
        ArchitectureError, match=r"dashboard show them\), a published one \(.*, .* JSON file, or a model's folder"
    ):
        find_architecture(run, "nobody")
    with pytest.raises(ArchitectureError, match=r"20 keys begin with '', such as \w+ and \w+"):
        find_architecture(run, "")
    assert not run.models.exists()


def test_a_training_that_diverges_writes_no_model(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ClickModule.training_step
    monkeypatch.setattr(ClickModule, "training_step", lambda self, *args: train(self, *args) * torch.nan)
    key = others(run)[0]
    with pytest.raises(DivergedError, match=rf"the training of {key} diverged at step 1 .*hyper-parameters"):
        retrain_named(run, key)
    assert not [*run.models.glob("[!.]*")]


def test_the_note_says_what_the_model_is(run: RunFolder) -> None:
    noted = json.loads((retrain_named(run, "hand-mlp").folder / "result.json").read_text())
    assert noted["name"] == "hand-mlp"
    assert noted["space"] == run.job.space or noted["space"] == "tiny"
    assert load_search_space(run.job.space).from_params(noted["architecture"]).key == noted["key"]


def test_where_it_cannot_be_written_is_said_before_any_training(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.pipeline.last_trainings.train_by_job", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(RunFolderError, match=r"mine: cannot be written, since .*job\.json is no folder"):
        retrain_named(run, others(run)[0], run.path / "job.json" / "mine")


def test_a_folder_with_files_of_others_is_left_as_it_is(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "result.json").write_text("mine")
    with pytest.raises(RunFolderError, match=r"mine: holds files, and no model that could be replaced"):
        retrain_named(run, "hand-mlp", tmp_path / "mine")
    assert (tmp_path / "mine" / "result.json").read_text() == "mine"


@pytest.mark.parametrize("folder", [".", "best", "data", "models", "search", "tune/mine", "best/a/b"])
def test_a_folder_of_the_run_is_left_as_it_is(run: RunFolder, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr("nasrec_automl.pipeline.last_trainings.train_by_job", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(RunFolderError, match=rf"belongs to the run in {run.path}, .*: choose a folder in {run.models}"):
        retrain_named(run, "hand-mlp", run.path / "best" / ".." / folder)


def test_no_model_stands_beside_the_result_of_another(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = retrain_named(run, "hand-mlp")

    def dies(*_: object) -> None:
        raise _KilledError

    monkeypatch.setattr("nasrec_automl.pipeline.named.write_model", dies)
    with pytest.raises(_KilledError):
        retrain_named(run, others(run)[0], model.folder)
    assert not (model.folder / "result.json").exists()


def test_a_budget_that_changed_after_the_run_forgets_no_training_and_is_told(run: RunFolder) -> None:
    name, architecture = next((n, a.architecture) for n, a in candidates(run).items() if not n.startswith("hand-"))
    before = retrain_named(run, name, run.models / "before")
    assert "over the budget" not in before.lines[0]
    studies = optuna.get_all_study_names(run.job.storage_url)
    macs = job_budget(run).counted(architecture)["macs"]
    tighter = changed(run, "budget", macs=macs - 1)
    assert name not in candidates(tighter)
    model = retrain_named(tighter, name)
    assert model.lines[0].endswith("own trainings, over the budget by 1 multiply-adds")
    assert model.validation == before.validation
    assert optuna.get_all_study_names(run.job.storage_url) == studies


def test_a_run_whose_latency_is_limited_trains_by_name_too(searching: RunFolder) -> None:
    run = changed(searching, "budget", latency_ms=60_000.0, batch_size=16)
    SearchStage().run(run)
    assert read_json(run.top)["budget"]["device"] == "cpu"
    model = retrain_named(run, "hand-mlp")
    assert model.source == "default"
    assert read_json(model.folder / "result.json")["latency_ms"] > 0


def test_data_that_a_run_lacks_are_prepared_first(run: RunFolder) -> None:
    new = RunFolder(run.job.model_copy(update={"run_folder": run.path.with_name("new")}))
    with pytest.raises(ArchitectureError, match="no architecture 'hand-ml'"):
        retrain_named(new, "hand-ml")
    assert not new.path.exists(), "the name is looked up first"
    shown: list[bool] = []
    view = ExitStack()
    view.callback(lambda: shown.append(new.data.exists()))
    prepare_for(new, "hand-mlp", view=view)
    assert shown == [True]
    assert retrain_named(new, "hand-mlp").name == "hand-mlp"
    assert PreparedData.open(new.data).fingerprint == PreparedData.open(run.data).fingerprint


def test_teachers_that_have_learned_from_other_rows_teach_no_more(run: RunFolder) -> None:
    """A job that trains by name alone may get other data: no stage holds it to those of before."""
    job, trained = run.job.model_copy(update={"run_folder": run.path.with_name("new")}), []
    for seed in (1, 2):
        options = {**job.data.options, "seed": seed}
        new = RunFolder(job.model_copy(update={"data": job.data.model_copy(update={"options": options})}))
        for folder in (new.data, new.path / "stages"):
            shutil.rmtree(folder, ignore_errors=True)
        prepare_for(new, "hand-mlp")
        retrain_named(new, "hand-mlp")
        trained.append({path.name for path in new.retrained.glob("*teacher-*")})
    before, after = trained
    assert len(after) == 2 * len(before)
