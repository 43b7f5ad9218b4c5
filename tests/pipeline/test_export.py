"""The model of a run for other programs: made without NNI and Optuna, served without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nasrec_automl import load_model
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.export import export_model, export_run
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.pipeline.changed import changed
from tests.pipeline.conftest import Varied

EXPORT = """
import sys
sys.modules.update(dict.fromkeys(("nni", "optuna")))  # importing them fails
from nasrec_automl.cli import main
main(["export", sys.argv[1], "--format", "onnx"])
main(["export", sys.argv[1], "--format", "torch"])
"""

# What it may import is what docs/export.md installs.
SERVE = """
import json, sys
sys.modules.update(dict.fromkeys(
    ("filelock", "jinja2", "nni", "onnx", "onnxscript", "optuna", "plotly", "psutil", "pytorch_lightning", "rich",
     "scipy", "sklearn", "sqlalchemy", "torch", "torchmetrics")
))
import onnxruntime, pandas
from nasrec_automl.data.preprocessing import Preprocessing
model, preprocessing, rows = sys.argv[1:]
dense, ids = Preprocessing.load(preprocessing).transform(pandas.read_csv(rows, dtype=str))
session = onnxruntime.InferenceSession(model)
print(json.dumps(session.run(["probability"], {"dense": dense, "ids": ids})[0].tolist()))
"""


def run_alone(code: str, *arguments: object) -> str:
    """Run code in a process of its own, which must have nothing to complain about."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def frame(finished_run: RunFolder) -> pd.DataFrame:
    return make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(200)


def test_exporting_needs_no_nni_and_serving_no_torch(copied_run: RunFolder, frame: pd.DataFrame) -> None:
    run_alone(EXPORT, copied_run.path)
    frame.to_csv(copied_run.path / "rows.csv", index=False)
    model, preprocessing = (copied_run.exported / name for name in ("model.onnx", "model.preprocessing.json"))
    expected = load_model(copied_run.best).predict(frame)
    served = json.loads(run_alone(SERVE, model, preprocessing, copied_run.path / "rows.csv"))
    np.testing.assert_allclose(served, expected, atol=1e-5)
    dense, ids = Preprocessing.load(preprocessing).transform(frame)
    program = torch.export.load(copied_run.exported / "model.pt2").module()
    found = program(torch.from_numpy(dense), torch.from_numpy(ids))[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)


def test_an_output_of_ones_own(copied_run: RunFolder, tmp_path: Path) -> None:
    assert export_run(copied_run, "torch", tmp_path / "mine.pt2") == tmp_path / "mine.pt2"
    assert (tmp_path / "mine.preprocessing.json").read_text() == (copied_run.best / "preprocessing.json").read_text()
    assert not copied_run.exported.exists()


def test_it_needs_no_data(copied_run: RunFolder) -> None:
    shutil.rmtree(copied_run.data)
    assert export_run(copied_run, "torch").is_file()


def test_a_model_that_was_found_inside_the_budget_needs_none_either(copied_run: RunFolder) -> None:
    budget = changed(copied_run, "budget", parameters=10**9)
    write_json(copied_run.result, {**read_json(copied_run.result), "budget": budget.noted_budget})
    shutil.rmtree(copied_run.data)
    assert export_run(budget, "torch").is_file()


def test_a_run_without_a_model_is_named(copied_run: RunFolder) -> None:
    shutil.rmtree(copied_run.best)
    copied_run.path.rename(blank := copied_run.path.with_name("my run"))
    with pytest.raises(
        RunFolderError, match=r"no final model yet; `nasrec-automl status '.*/my run'` says what is left"
    ):
        export_run(RunFolder.open(blank))
    assert not copied_run.exported.exists()


@pytest.mark.slow
def test_columns_of_every_kind_are_served_as_predicted(varied: Varied, tmp_path: Path) -> None:
    model = export_model(varied.folder, "onnx", tmp_path / "model.onnx")
    varied.frame.to_csv(tmp_path / "rows.csv", index=False)
    expected = load_model(varied.folder).predict(varied.frame)
    served = json.loads(run_alone(SERVE, model, tmp_path / "model.preprocessing.json", tmp_path / "rows.csv"))
    assert expected.std() > 0.01
    np.testing.assert_allclose(served, expected, atol=1e-5)
