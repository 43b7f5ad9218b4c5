"""The benchmark's recipe: one setting of a training changes, and nothing is trained twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nasrec_automl.config import Job, load_job
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, has_teachers, scratch_options, train_by_job
from nasrec_automl.pipeline.teachers import taught_label
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.recipe import command
from tests.benchmarks.recipe.variants import OURS, changed, variants


@pytest.fixture
def job_file(write_job: Callable[..., Path], tmp_path: Path) -> Path:
    return write_job(tmp_path / "job", retrain={"space": "retrain-adagrad"})


def settings(job: Job) -> tuple[object, ...]:
    return replace(
        scratch_options(job, default_hyper(job, taught=has_teachers(job)), 3200), steps=1
    ), job.retrain.max_epochs


def test_each_variant_changes_what_it_says_alone(job_file: Path) -> None:
    job = load_job(job_file)
    assert settings(changed(job, variants()[OURS])) == settings(job)
    found = {name: settings(changed(job, variant)) for name, variant in variants().items() if variant.teachers}
    assert found.pop("no dropout") == found[OURS], "with teachers there is none"
    assert len(set(found.values())) == len(found)
    ours, _ = found[OURS]
    alone, _ = settings(changed(job, variants()["labels alone"]))
    begun, _ = found["begun as by labels alone"]
    assert alone == begun != ours
    options, epochs = found["rows decay as weights"]
    assert (options.weight_decay, options.embedding_decay, epochs) == (ours.weight_decay, None, job.retrain.max_epochs)
    options, _ = found["weights decay as rows"]
    assert options.weight_decay == options.embedding_decay == ours.embedding_decay
    assert found["schedule of 4 epochs"] == (ours, 4)


def test_the_command_trains_what_is_missing(
    job_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*options: str) -> str:
        monkeypatch.setattr(benchmarks.sys, "argv", ["bench", "recipe", str(job_file), *options])
        benchmarks.main()
        return capsys.readouterr().out

    trained: list[tuple[str, int]] = []
    train = command._train

    def counted(path: Path, design: str, name: str, seed: int) -> dict[str, float] | None:
        trained.append((name, seed))
        return None if name == "no decay" else train(path, design, name, seed)

    monkeypatch.setattr(command, "_train", counted)
    shown = call("--variants", "dropout 0.3", "--seeds", "2")
    assert trained == [(OURS, 0), ("dropout 0.3", 0), (OURS, 1), ("dropout 0.3", 1)]
    kept = json.loads((load_job(job_file).run_folder / "recipe.json").read_text())["hand-dlrm"]
    mean = (kept["dropout 0.3/0"]["log_loss"] + kept["dropout 0.3/1"]["log_loss"]) / 2
    assert kept["dropout 0.3/0"] != kept["ours/0"]
    assert f"{mean:.4f}" in shown
    assert 0 < kept["ours/0"]["epochs"] <= 2

    shown = call("--variants", "dropout 0.3", "no decay", "--seeds", "2")
    assert trained[4:] == [("no decay", 0), ("no decay", 1)]
    assert "2 diverged" in shown

    shown = call("--variants", "--seeds", "2")
    assert len(trained) == 6
    assert "ours" in shown
    assert "dropout 0.3" not in shown


def test_what_the_best_of_several_on_hpo_rows_has_elsewhere() -> None:
    trainings = [
        {"hpo": 0.5, "log_loss": 0.61, "epochs": 1.0, "seconds": 1.0},
        {"hpo": 0.4, "log_loss": 0.62, "epochs": 1.0, "seconds": 1.0},
        {"hpo": 0.6, "log_loss": 0.70, "epochs": 1.0, "seconds": 1.0},
    ]
    assert command._best_of(trainings, 2) == pytest.approx((0.62 + 0.61 + 0.62) / 3)
    found = {f"{OURS}/{seed}": one for seed, one in enumerate(trainings)}
    table = command._table("title", found, [OURS], 3, 2)
    assert "best of 2 on hpo" in [column.header for column in table.columns]
    assert "0.6167" in list(table.columns[2].cells)
    few = command._table("title", found, [OURS], 3, 3)
    assert [column.header for column in few.columns] == ["variant", "log loss", "less ours", "epochs", "seconds"]


def test_a_design_that_the_space_cannot_express_is_refused(
    job_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", "recipe", str(job_file), "--design", "hand-dcn"])
    with pytest.raises(SystemExit):
        benchmarks.main()
    assert "has no design hand-dcn; it has hand-mlp" in capsys.readouterr().err


def test_labels_alone_are_one_of_the_variants(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(*arguments: object, label: np.ndarray | None, **options: object) -> object:
        seen.append(label)
        return train_by_job(*arguments, label=label, **options)

    monkeypatch.setattr(command, "train_by_job", watched)
    options = ["bench", "recipe", str(copied_run.path), "--variants", "labels alone", "--seeds", "1"]
    monkeypatch.setattr(benchmarks.sys, "argv", options)
    benchmarks.main()
    assert (seen[0] == taught_label(copied_run)).all()
    assert seen[1] is None
    kept = json.loads((copied_run.path / "recipe.json").read_text())["hand-dlrm"]
    assert kept["labels alone/0"] != kept["ours/0"]
