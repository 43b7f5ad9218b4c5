"""The final stage: what it writes is what the models do."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
import torch
from torch import Tensor

from nasrec_automl import FeatureSchema, load_model, load_search_space, profile
from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.evaluation import scratch
from nasrec_automl.evaluation.distillation import best_together
from nasrec_automl.evaluation.scratch import measure_subnet, predict_logits
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import final as final_stage
from nasrec_automl.pipeline import final_baselines
from nasrec_automl.pipeline.export import export_run
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.status import final_is_noted
from nasrec_automl.pipeline.studies import make_study
from nasrec_automl.training.metrics import log_losses
from tests.pipeline.changed import changed

KEYS = [
    *("dataset", "architecture", "key", "hyper_parameters", "validation", "test", "macs", "parameters", "storage"),
    *("studies", "seconds", "baselines"),
]


@pytest.fixture(scope="module")
def result(finished_run: RunFolder) -> dict:
    return json.loads(finished_run.result.read_text())


@pytest.fixture(scope="module")
def final(finished_run: RunFolder) -> dict:
    return json.loads((finished_run.final).read_text())


def compared(run: RunFolder, name: str) -> Path:
    """The subnet that stands for a contender."""
    (path,) = run.retrained.glob(f"{name}-????????.safetensors")
    return path


def test_the_result_has_the_keys_that_others_rely_on(result: dict) -> None:
    assert list(result) == KEYS
    assert [baseline["name"] for baseline in result["baselines"]] == ["gradient boosting", "logistic regression"]
    for quality in (one[part] for one in (result, *result["baselines"]) for part in ("validation", "test")):
        assert list(quality) == ["log_loss", "auc"]
        assert 0.3 < quality["log_loss"] < 1
        assert 0.3 < quality["auc"] <= 1
    assert result["dataset"] == "synthetic"
    assert result["storage"] == "sqlite:///studies.db"


def test_seconds_are_by_stage(result: dict) -> None:
    assert list(result["seconds"]) == ["data", "supernet", "search", "retrain", "final"]
    assert all(0 <= seconds < 120 for seconds in result["seconds"].values())
    assert result["seconds"]["supernet"] > 0


def test_its_parts_are_unlike_and_have_no_rate(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    copied_run.final.unlink()
    notes, train = [], final_stage.train_final

    def watched(*arguments: object, tell: Callable[[str], object], **options: object) -> Subnet:
        def told(words: str) -> None:
            tell(words)
            progress = read_progress(copied_run.progress("final"))
            assert progress is not None
            assert (progress.done, progress.total, progress.unit, progress.rate) == (1, 4, "parts", None)
            notes.append(progress.note)

        return train(*arguments, tell=told, **options)

    monkeypatch.setattr(final_stage, "train_final", watched)
    FinalStage().run(copied_run)
    assert re.fullmatch(r"final training 1 of \d, step \d+ of at most \d+: log loss 0\.\d{4}", notes[0])


def test_the_studies_that_it_names_are_there(finished_run: RunFolder, result: dict) -> None:
    storage = f"sqlite:///{finished_run.path / 'studies.db'}"
    others = {make_study(finished_run, "teachers").study_name}
    assert set(result["studies"]) | others == set(optuna.get_all_study_names(storage))


def test_the_winner_is_no_worse_than_any_contender(result: dict, final: dict) -> None:
    losses = {contender["name"]: contender["validation"]["log_loss"] for contender in final["contenders"]}
    assert {"hand-mlp", "hand-dlrm", "hand-deepfm"} <= set(losses)
    assert losses[final["winner"]] == min(losses.values()) == result["validation"]["log_loss"]
    assert list(losses.values()) == sorted(losses.values())


def test_how_far_each_contender_is_behind_has_its_paired_error(finished_run: RunFolder, final: dict) -> None:
    choice = PreparedData.open(finished_run.data).part(Part.CHOICE)
    label = torch.from_numpy(np.asarray(choice.label).astype(np.float32))

    def losses(name: str) -> np.ndarray:
        return log_losses(predict_logits(load_subnet(compared(finished_run, name)), choice), label).numpy()

    winner, *others = final["contenders"]
    assert (winner["name"], winner["less_winner_error"]) == (final["winner"], None)
    assert others
    for other in others:
        difference = losses(other["name"]) - losses(winner["name"])
        behind = other["validation"]["log_loss"] - winner["validation"]["log_loss"]
        assert difference.mean() == pytest.approx(behind, abs=1e-6)
        assert other["less_winner_error"] == pytest.approx(difference.std(ddof=1) / np.sqrt(len(choice)), rel=1e-4)


def test_the_search_part_chooses_too_where_it_chose_no_candidate(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(copied_run.final.read_text())
    assert before["chosen_on"] == ["choice"]
    baselines = json.loads(copied_run.result.read_text())["baselines"]
    copied_run.final.unlink()
    parts = (Part.SEARCH, Part.CHOICE)
    for module in (final_stage, final_baselines):
        monkeypatch.setattr(module, "choice_parts", lambda run: parts)
    FinalStage().run(copied_run)
    after = json.loads(copied_run.final.read_text())
    assert after["chosen_on"] == ["search", "choice"]
    data = PreparedData.open(copied_run.data)
    for contender in after["contenders"]:
        path = compared(copied_run, contender["name"])
        each = [measure_subnet(load_subnet(path), data.part(part)).log_loss * data.rows(part) for part in parts]
        assert contender["validation"]["log_loss"] == pytest.approx(sum(each) / sum(map(data.rows, parts)), abs=1e-6)
    result = json.loads(copied_run.result.read_text())
    assert result["validation"]["log_loss"] == min(one["validation"]["log_loss"] for one in after["contenders"])
    for now, then in zip(result["baselines"], baselines, strict=True):
        assert now["test"] == then["test"]
        assert now["validation"] != then["validation"], "it is measured on the same rows as the winner"


def test_validation_is_of_the_model_trained_on_train_alone(finished_run: RunFolder, result: dict, final: dict) -> None:
    choice = PreparedData.open(finished_run.data).part(Part.CHOICE)
    alone = measure_subnet(load_subnet(compared(finished_run, final["winner"])), choice)
    assert alone.log_loss == pytest.approx(result["validation"]["log_loss"], abs=1e-6)
    assert alone.auc == pytest.approx(result["validation"]["auc"], abs=1e-6)
    # The model that is kept has seen the choice part: what it scores there is no validation.
    kept = measure_subnet(load_model(finished_run.best).subnet, choice)
    assert kept.log_loss != pytest.approx(result["validation"]["log_loss"], abs=1e-6)


def test_test_is_what_the_kept_model_scores(finished_run: RunFolder, result: dict, final: dict) -> None:
    rows = PreparedData.open(finished_run.data, test=True).part(Part.TEST)
    kept = measure_subnet(load_model(finished_run.best).subnet, rows)
    assert kept.log_loss == pytest.approx(result["test"]["log_loss"], abs=1e-6)
    assert kept.auc == pytest.approx(result["test"]["auc"], abs=1e-6)
    assert sum(bin_["rows"] for bin_ in final["calibration"]) == len(rows)
    for baseline in result["baselines"]:
        assert all(error > 0 for error in baseline["test_less_winner_error"].values())


def test_best_is_the_winner(finished_run: RunFolder, result: dict) -> None:
    assert {path.name for path in finished_run.best.iterdir()} >= {
        *("architecture.json", "model.safetensors", "preprocessing.json"),
    }
    space = load_search_space(finished_run.job.space)
    winner = space.from_params(result["architecture"])
    assert winner.key == result["key"] == load_model(finished_run.best).architecture.key
    assert (finished_run.best / "architecture.json").read_text() == winner.to_json()
    data = PreparedData.open(finished_run.data)
    schema: FeatureSchema = data.schema(8)
    cost = profile(winner, schema, layer_norm=True)
    assert (result["macs"], result["parameters"]) == (cost.macs, cost.parameters)
    assert (finished_run.best / "preprocessing.json").read_bytes() == (
        finished_run.data / "preprocessing.json"
    ).read_bytes()
    assert not load_model(finished_run.best).subnet.training
    assert torch.is_grad_enabled()


def test_the_winner_learns_from_all_but_hpo_which_says_when_to_end_and_test(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[int]] = {"train": [], "validation": []}
    train = scratch.train_network

    def watched(network: object, rows: Rows, validation: Rows, *arguments: object, **options: object) -> object:
        seen["train"].append(len(rows))
        seen["validation"].append(len(validation))
        return train(network, rows, validation, *arguments, **options)

    monkeypatch.setattr(scratch, "train_network", watched)
    before = load_subnet(copied_run.best / "model.safetensors").state_dict()
    copied_run.result.unlink()
    FinalStage().run(copied_run)
    data = PreparedData.open(copied_run.data)
    known = sum(data.rows(part) for part in (*TRAINING, *VALIDATION))
    assert copied_run.job.retrain.final_seeds == 2
    assert seen == {"train": [known - data.rows(Part.HPO)] * 2, "validation": [data.rows(Part.HPO)] * 2}
    after = load_subnet(copied_run.best / "model.safetensors").state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_done_it_measures_nothing_again(copied_run: RunFolder, result: dict) -> None:
    shutil.rmtree(copied_run.data / "test")
    assert FinalStage().run(copied_run) == result["test"]


def test_killed_before_the_result_is_written_it_trains_nothing_again(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_subnet(copied_run.best / "model.safetensors").state_dict()
    copied_run.result.unlink()

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    kept = FinalStage().resume_mark(copied_run)
    with monkeypatch.context() as patched:
        patched.setattr(final_stage, "write_json", kill)
        with pytest.raises(KeyboardInterrupt):
            FinalStage().run(copied_run)
    assert FinalStage().resume_mark(copied_run) > kept
    monkeypatch.setattr(scratch, "train_network", kill)
    FinalStage().run(copied_run)
    after = load_subnet(copied_run.best / "model.safetensors").state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not copied_run.final_trainings.exists()


def test_it_says_which_baseline_is_being_fitted(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    update = final_stage.ProgressWriter.update

    def noted(writer: object, done: int, note: str = "", **options: object) -> None:
        said.append(note)
        update(writer, done, note, **options)

    copied_run.result.unlink()
    monkeypatch.setattr(final_stage.ProgressWriter, "update", noted)
    FinalStage().run(copied_run)
    assert said[-4:-1] == ["fits gradient boosting", "fits logistic regression", "baselines fitted"]


def test_a_network_that_says_nan_of_the_choice_does_not_win(
    copied_run: RunFolder, final: dict, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    winner, *_ = final["contenders"]
    known = final_stage.load_subnet

    def broken(path: Path) -> Subnet:
        subnet = known(path)
        if path.name.startswith(f"{winner['name']}-"):
            torch.nn.init.constant_(subnet.head.bias, float("nan"))
        return subnet

    copied_run.result.unlink()
    monkeypatch.setattr(final_stage, "load_subnet", broken)
    FinalStage().run(copied_run)
    kept = [contender["name"] for contender in read_json(copied_run.final)["contenders"]]
    assert kept == [contender["name"] for contender in final["contenders"][1:]]
    assert f"{winner['name']} is left out: its log loss on the rows of the choice is nan" in caplog.text


@pytest.mark.parametrize(
    ("section", "growth"), [("retrain", {"trials": 7}), ("search", {"architectures": 21}), ("retrain", {})]
)
def test_it_refuses_to_begin_before_the_stages_before_have_ended(
    copied_run: RunFolder, section: str, growth: dict[str, int]
) -> None:
    """As where NNI runs the final trial again by itself, after the job was given more to do."""
    copied_run.final.unlink()
    readings, more = read_json(copied_run.test_readings), changed(copied_run, section, **growth)
    if not growth:
        copied_run.retrain_done.unlink()
    with pytest.raises(RunFolderError, match=rf"the {section} stage has not ended; `nasrec-automl status .*` says"):
        FinalStage().run(more)
    assert read_json(copied_run.test_readings) == readings


def test_a_worker_that_comes_late_to_retrain_leaves_its_trainings_alone(copied_run: RunFolder) -> None:
    left = copied_run.final_trainings / "hand-mlp.ckpt"
    left.parent.mkdir()
    left.touch()
    RetrainStage().run(copied_run)
    assert left.is_file()


@pytest.mark.parametrize("killed_at", ["write_model", "write_json"])
def test_killed_after_test_was_read_it_counts_the_reading_and_exports_no_model_without_a_result(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    work = getattr(final_stage, killed_at)
    copied_run.result.unlink()

    def kill(path: Path, *rest: object) -> None:
        work(path, *rest)
        if path != copied_run.test_readings:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(final_stage, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            FinalStage().run(copied_run)
    with pytest.raises(RunFolderError, match="the run has no final model yet"):
        export_run(copied_run, "torch")
    FinalStage().run(copied_run)
    assert json.loads(copied_run.final.read_text())["test_readings"] == 3
    assert export_run(copied_run, "torch").is_file()


def test_what_was_trained_by_other_teachers_is_not_taken(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    copied_run.result.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(final_stage, "write_json", kill)
        with pytest.raises(KeyboardInterrupt):
            FinalStage().run(copied_run)
    trained: list[object] = []
    train = scratch.train_network

    def watched(*arguments: object, **options: object) -> object:
        trained.append(arguments)
        return train(*arguments, **options)

    monkeypatch.setattr(scratch, "train_network", watched)
    (other, *_) = copied_run.retrained.glob("teacher-*.safetensors")
    monkeypatch.setattr(final_stage, "final_teachers", lambda *_, **__: {"hand-mlp": other})
    FinalStage().run(copied_run)
    assert len(trained) == 2


def test_who_teaches_is_found_out_once(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def watched(logits: Sequence[Tensor], rows: Rows, *, most: int) -> Sequence[int]:
        found.append(len(logits))
        return best_together(logits, rows, most=most)

    monkeypatch.setattr("nasrec_automl.pipeline.teachers.best_together", watched)
    copied_run.result.unlink()
    FinalStage().run(copied_run)
    assert found == [3, 2], "among the hand designs, and for rows that it knows too with the one final teacher"


@pytest.mark.parametrize("killed", [False, True])
def test_what_has_begun_keeps_its_settings(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    if killed:
        copied_run.result.unlink()
        with monkeypatch.context() as patched:
            patched.setattr(final_stage, "write_json", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                FinalStage().run(copied_run)
    with pytest.raises(JobError, match=r"retrain\.final_seeds: the final stage .* was started with"):
        run_job(changed(copied_run, "retrain", final_seeds=9))


@pytest.mark.parametrize(("key", "value"), [("teachers", 0), ("teacher_share", 0.1)])
def test_what_the_candidates_have_learned_from_stays(copied_run: RunFolder, key: str, value: float) -> None:
    with pytest.raises(JobError, match=rf"retrain\.{key}: the (supernet|retrain) stage .* was started with"):
        run_job(changed(copied_run, "retrain", **{key: value}))


def test_each_contender_is_reported_as_it_is_measured(copied_run: RunFolder, final: dict) -> None:
    reports: list[Mapping[str, float]] = []
    copied_run.result.unlink()
    FinalStage().run(copied_run, on_metrics=reports.append)
    measured = [contender["validation"] for contender in final["contenders"]]
    assert sorted(reports, key=lambda report: report["log_loss"]) == measured


def test_a_winner_of_its_own_width_with_smaller_tables_and_no_layer_norm_is_served_as_any_other(
    tmp_path: Path, write_job: Callable[..., Path]
) -> None:
    space = {"optimizer": "sgd", "learning_rate": 0.3, "embedding_dim": 4, "table_cap": 5, "batch_size": 128}
    space["layer_norm"] = False  # and the job says true
    data = {"options": {"rows": 4000, "seed": 1, "fields": 4, "dense": 3}}
    run = RunFolder(load_job(write_job(tmp_path, data=data, retrain={"trials": 1, "top_k": 1, "space": space})))
    run_job(run)
    model, result = load_model(run.best), json.loads(run.result.read_text())
    schema = model.subnet.schema
    assert schema.embedding_dim == 4
    assert max(schema.table_sizes) > 5
    assert run.job.retrain.layer_norm
    assert not model.subnet.layer_norm
    assert {field.tables for field in schema.fields if field.table_size > 5} == {(5,)}
    assert result["parameters"] == sum(weight.numel() for weight in model.subnet.parameters())
    test = PreparedData.open(run.data, test=True).part(Part.TEST)
    assert measure_subnet(model.subnet, test).log_loss == pytest.approx(result["test"]["log_loss"], abs=1e-6)
    assert export_run(run, "torch").is_file()
    study = optuna.load_study(study_name=result["studies"][1], storage=f"sqlite:///{run.path / 'studies.db'}")
    assert {frozenset(trial.params) for trial in study.trials} == {frozenset({"architecture"})}


@pytest.mark.parametrize("grown", [True, False])
def test_what_a_worker_trains_meanwhile_is_not_what_the_winner_was_chosen_among(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, grown: bool
) -> None:
    before, studies = read_json(copied_run.retrain_done), read_json(copied_run.result)["studies"]
    copied_run.final.unlink()

    fitted = final_baselines.final_baselines

    def fit(*arguments: Any, **options: Any) -> Any:
        if grown:
            write_json(copied_run.retrain_done, {**before, "trainings": before["trainings"] + 5})
        else:
            copied_run.retrain_done.unlink()
        return fitted(*arguments, **options)

    monkeypatch.setattr("nasrec_automl.pipeline.final.final_baselines", fit)
    FinalStage().run(copied_run)
    assert read_json(copied_run.final)["retrain"] == before
    assert read_json(copied_run.result)["studies"] == studies
    assert not final_is_noted(copied_run)
    write_json(copied_run.retrain_done, before)
    assert final_is_noted(copied_run)
