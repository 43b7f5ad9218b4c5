"""Commands that make models, and use them, as a user calls them."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.console import Console

from nasrec_automl import commands, load_model
from nasrec_automl.data.synthetic import make_synthetic
from tests.command_line import call, refused


def test_predict(finished_run: Any, tmp_path: Path) -> None:
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(50)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    done = call(
        *("predict", "--model", finished_run.best, "--input", tmp_path / "rows.csv", "--output", tmp_path / "out.csv")
    )
    assert done.code == 0, done.error
    assert "50 rows" in done.out
    probabilities = pd.read_csv(tmp_path / "out.csv")["probability"]
    assert probabilities.to_numpy() == pytest.approx(load_model(finished_run.best).predict(frame), abs=1e-6)


@pytest.mark.parametrize(("ending", "total"), [("csv", None), ("parquet", 50)])
def test_predict_shows_its_rows(
    finished_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, total: int | None
) -> None:
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(50)
    rows, heard = tmp_path / f"rows.{ending}", []
    frame.to_csv(rows, index=False) if ending == "csv" else frame.to_parquet(rows, index=False)

    @contextmanager
    def bars(console: Console) -> Iterator[Callable[..., object]]:
        yield lambda *told: heard.append(told)

    monkeypatch.setattr(commands, "row_bars", bars)
    done = call("predict", "--model", finished_run.best, "--input", rows, "--output", tmp_path / "out.csv")
    assert done.code == 0, done.error
    assert heard == [("predicting rows", 0, total), ("predicting rows", 50, total)]


def test_columns_to_keep_may_be_named_one_by_one(finished_run: Any, tmp_path: Path) -> None:
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(5)
    frame.assign(id=range(5), day="monday").to_csv(tmp_path / "rows.csv", index=False)
    files = ("--input", tmp_path / "rows.csv", "--output", tmp_path / "out.csv")
    done = call("predict", "--model", finished_run.best, *files, "--keep", "id", "--keep", "day")
    assert done.code == 0, done.error
    assert list(pd.read_csv(tmp_path / "out.csv")) == ["id", "day", "probability"]


def test_predict_with_the_schema_of_a_table(finished_run: Any, tmp_path: Path) -> None:
    raw = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options})
    frame = raw.frame.head(50)
    frame.to_csv(tmp_path / "rows.data", index=False, header=False, sep=";")
    schema = {
        "label": "y",
        "separator": ";",
        "columns": ["y", *frame.columns],
        "dense": dict.fromkeys(raw.dense, "log"),
        "categorical": dict.fromkeys(raw.categorical),
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(schema))
    ends = ("--input", tmp_path / "rows.data", "--output", tmp_path / "out.csv", "--schema")
    done = call("predict", "--model", finished_run.best, *ends, tmp_path / "s.yaml")
    assert done.code == 0, done.error
    probabilities = pd.read_csv(tmp_path / "out.csv")["probability"]
    assert probabilities.to_numpy() == pytest.approx(load_model(finished_run.best).predict(frame), abs=1e-6)
    refused("predict", "--model", finished_run.best, *ends, tmp_path / "gone.yaml", naming="gone.yaml")


@pytest.mark.parametrize(("kind", "loader"), [("onnx", "onnxruntime.InferenceSession"), ("torch", "torch.export.load")])
def test_export(finished_run: Any, tmp_path: Path, kind: str, loader: str) -> None:
    done = call("export", finished_run.path, "--format", kind, "--output", tmp_path / "model.bin")
    assert done.code == 0, done.error
    assert f"{loader}('{tmp_path / 'model.bin'}')" in done.out
    assert f"{tmp_path / 'model.bin.preprocessing.json'}: makes dense and ids" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"model.bin", "model.bin.preprocessing.json"}


@pytest.fixture
def labelled(finished_run: Any, tmp_path: Path) -> tuple[str, ...]:
    """Options of 2,000 labelled rows that the run's model may measure itself on."""
    raw = make_synthetic(**{**finished_run.job.data.options, "rows": 2000, "seed": 1})
    raw.frame.assign(clicked=raw.label).to_csv(tmp_path / "rows.csv", index=False)
    columns = {"label": "clicked", **{kind: dict.fromkeys(getattr(raw, kind)) for kind in ("dense", "categorical")}}
    columns["categorical"][next(iter(raw.categorical))] = {"kind": "hash"}  # whose size a job may have said
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump(columns))
    return ("--input", str(tmp_path / "rows.csv"), "--schema", str(tmp_path / "schema.yaml"))


def test_evaluate_measures_a_model_of_a_run_and_what_others_predicted(
    finished_run: Any, tmp_path: Path, labelled: tuple[str, ...]
) -> None:
    _, rows, *_ = labelled
    predicted = tmp_path / "others.csv.gz"
    assert call("predict", "--model", finished_run.path, "--input", rows, "--output", predicted).code == 0
    output, page = tmp_path / "e.json", tmp_path / "e.html"
    written = ("--output", output, page)
    done = call("evaluate", "--model", finished_run.path, "--probabilities", predicted, *labelled, *written)
    assert done.code == 0, done.error
    assert "2,000 rows with a click rate of 0." in done.out
    model, same = json.loads(output.read_text())
    assert (model["name"], same["name"]) == (str(finished_run.path), str(predicted))
    assert model["less_first"] is None
    assert sum(one["rows"] for one in model["calibration"]) == 2000
    assert f"{rows}</p>" in page.read_text()
    assert "which may be chance" in page.read_text()
    assert same["log_loss"] == pytest.approx(model["log_loss"], abs=1e-6)
    assert same["less_first"]["log_loss_error"] == pytest.approx(0, abs=1e-6)
    test = json.loads((finished_run.path / "result.json").read_text())["test"]
    assert model["log_loss"] == pytest.approx(test["log_loss"], abs=0.1)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_evaluate_needs_only_the_columns_that_it_uses(
    finished_run: Any, tmp_path: Path, labelled: tuple[str, ...], ending: str
) -> None:
    _, rows, _, schema = labelled
    columns = yaml.safe_load(Path(schema).read_text())
    columns |= {"split": "fold", "timestamp": {"column": "at", "format": "ISO8601"}, "ignored": ["note"]}
    Path(schema).write_text(yaml.safe_dump(columns))
    frame, path = pd.read_csv(rows, dtype=str).assign(strange="x", strange2="y"), tmp_path / f"new.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    done = call("evaluate", "--model", finished_run.path, "--input", path, "--schema", schema)
    assert done.code == 0, done.error
    assert "2,000 rows" in done.out
    grouped = call("evaluate", "--model", finished_run.path, "--input", path, "--schema", schema, "--group", "strange")
    assert grouped.code == 0, grouped.error
    assert "within the rows of one strange, weighted by rows: 1 have rows with a click" in " ".join(grouped.out.split())


def test_evaluate_names_what_is_missing(finished_run: Any, tmp_path: Path, labelled: tuple[str, ...]) -> None:
    refused("evaluate", *labelled, naming="nothing to measure: name a model, or a file of probabilities")
    taken = ("--output", labelled[1])
    refused("evaluate", "--model", finished_run.path, *labelled, *taken, naming="a file of another kind (.json)")
    refused("evaluate", "--model", tmp_path, *labelled, naming=f"{tmp_path}: no model")
    refused("evaluate", "--model", finished_run.path, *labelled[:2], naming="schema")
    refused("evaluate", "--model", finished_run.path, *labelled[2:], naming="input")
    refused("evaluate", "--probabilities", tmp_path / "gone.csv", *labelled, naming="gone.csv: no such file")


def test_retrain_by_name_predicts_and_exports(copied_run: Any, tmp_path: Path) -> None:
    done = call("retrain", copied_run.path, "hand-mlp", "--output", tmp_path / "mine")
    assert done.code == 0, done.error
    assert "hand-mlp: validation log loss 0." in done.out
    assert f"--model {tmp_path / 'mine'}" in done.out
    assert load_model(tmp_path / "mine").subnet is not None
    done = call("export", tmp_path / "mine", "--format", "torch")
    assert done.code == 0, done.error
    assert (tmp_path / "mine" / "model.pt2").is_file()


def test_retrain_shows_how_far_it_is(copied_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rich.status.Status.update", lambda self, words: shown.append(words))
    done = call("retrain", copied_run.path, "hand-mlp", "--output", tmp_path / "mine")
    assert done.code == 0, done.error
    assert re.fullmatch(r"final training 1 of \d, step \d+ of at most \d+: log loss 0\.\d{4} \.\.\.", shown[0])
    assert "final training" not in done.out.split("validation log loss")[0], "within a minute there is no news"


def test_where_there_is_no_terminal_retrain_prints_how_far_it_is(
    copied_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.pipeline.view.NEWS", 0.0)
    done = call("retrain", copied_run.path, "hand-mlp", "--output", tmp_path / "mine")
    assert done.code == 0, done.error
    assert re.match(r"final training 1 of \d, step \d+ of at most \d+: log loss 0\.\d{4}\n", done.out)


def test_retrain_names_what_is_missing(finished_run: Any, tmp_path: Path) -> None:
    refused("retrain", finished_run.path, "nobody", naming="no architecture 'nobody'")
    refused("retrain", tmp_path, "hand-mlp", naming="not a run folder")
    (tmp_path / "file").touch()
    refused("retrain", finished_run.path, "hand-mlp", "--output", tmp_path / "file", naming=str(tmp_path / "file"))


def test_predict_names_a_missing_column_file_or_model(finished_run: Any, tmp_path: Path) -> None:
    frame = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(5)
    name = frame.columns[0]
    rows, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    frame.drop(columns=name).to_csv(rows, index=False)
    output.write_text("old")
    ends = ("--output", output)
    refused(
        "predict",
        "--model",
        finished_run.best,
        "--input",
        rows,
        *ends,
        naming=f"lacks the columns {name}, which may be empty but must be there;",
    )
    refused("predict", "--model", finished_run.best, "--input", tmp_path / "gone.csv", *ends, naming="gone.csv")
    refused("predict", "--model", tmp_path, "--input", rows, *ends, naming=f"{tmp_path}: no model")
    assert output.read_text() == "old"
    frame.to_csv(rows, index=False)
    (tmp_path / "folder").mkdir()
    for path, naming in (
        ("nowhere/out.csv", "its folder does not exist"),
        ("folder", "is a folder"),
        (".", "is a folder"),
    ):
        where = tmp_path / path
        refused(
            "predict", "--model", finished_run.best, "--input", rows, "--output", where, naming=f"{where}: {naming}"
        )


def test_export_names_what_is_missing(copied_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere" / "model.onnx"
    refused("export", copied_run.path, "--output", nowhere, naming=str(nowhere))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    refused("export", copied_run.path, naming="pip install -e '.[export]'")
    (copied_run.best / "preprocessing.json").unlink()
    refused("export", copied_run.path, naming="the run has no final model yet")
