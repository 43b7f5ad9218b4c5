"""The model of a run for other programs, with the preprocessing that it needs. Needs neither NNI nor Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nasrec_automl.budget import in_words
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.errors import CheckpointError, RunFolderError
from nasrec_automl.export import export_onnx, export_torch
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.model_folder import WEIGHTS_FILE, load_model
from nasrec_automl.pipeline.run_folder import RunFolder

Format = Literal["onnx", "torch"]

_FILES: dict[Format, str] = {"onnx": "model.onnx", "torch": "model.pt2"}


def export_run(run: RunFolder, kind: Format = "onnx", output: Path | None = None) -> Path:
    """Export the final model of a run, and its preprocessing beside it.

    Args:
        run: the run folder.
        kind: an ONNX model, or a program of `torch.export`.
        output: file to write; by default in the run's folder `export`.

    Returns:
        The file.

    Raises:
        RunFolderError: the run has no final model yet, or one of an earlier budget.
        ExtraError: ONNX is not installed.
        DataError: the output cannot be written.
    """
    # The latter is written last: until then the model may be one that no result is of.
    if not (run.best / PREPROCESSING_FILE).is_file() or not run.final.is_file():
        raise RunFolderError(f"{run.path}: the run has no final model yet; `{run.status_command}` says what is left")
    # A result of this budget is inside it, and where the data are gone nobody can say more.
    is_of_another = (read_json(run.result) or {}).get("budget") != run.noted_budget
    if run.job.budget.limits and is_of_another and (over := job_budget(run).excess(load_model(run.best).architecture)):
        shown = ", ".join(in_words(name, excess) for name, excess in over.items())
        raise RunFolderError(
            f"{run.path}: the run's model is over the job's budget by {shown}: it was found under an earlier budget; "
            "run the job again, and it goes on to one inside"
        )
    if output is None:
        output = run.exported / _FILES[kind]
        output.parent.mkdir(exist_ok=True)
    return export_model(run.best, kind, output)


def export_model(folder: Path, kind: Format = "onnx", output: Path | None = None) -> Path:
    """Export a model that `load_model` takes, and its preprocessing beside it.

    Args:
        folder: of the model, such as `runs/NAME/models/KEY`.
        kind: an ONNX model, or a program of `torch.export`.
        output: file to write; by default in the folder itself.

    Returns:
        The file.

    Raises:
        CheckpointError: the folder holds no model.
        ExtraError: ONNX is not installed.
        DataError: the output cannot be written.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"{folder}: no model; expected the file {WEIGHTS_FILE}; a run's is exported by export_run"
        )
    model = load_model(folder)
    output = folder / _FILES[kind] if output is None else output
    if kind == "onnx":
        export_onnx(model.subnet, output, preprocessing=model.preprocessing)
    else:
        export_torch(model.subnet, output, preprocessing=model.preprocessing)
    return output
