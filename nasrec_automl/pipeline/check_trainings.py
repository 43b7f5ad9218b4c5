"""The best trainings of a search's check: they teach the candidates."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nasrec_automl.architecture import Architecture
from nasrec_automl.evaluation.scratch import Trained
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.files import read_json, write_json, write_json_once
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper
from nasrec_automl.pipeline.studies import trainings_study_name
from nasrec_automl.pipeline.subnets import networks_missing, weights_path


def check_folder(run: RunFolder) -> Path:
    """Where the check has its checkpoints, and the trainings that are kept."""
    return run.path / "search" / "verdict"


def keep_training(run: RunFolder, architecture: Architecture, trained: Trained, *, most: int) -> None:
    """Keep a training, until so many others are better: tables are large.

    Args:
        run: by whose retrain section it was trained, with the job's seed.
        architecture: what was trained.
        trained: the network, with the weights of its best validation.
        most: how many trainings are kept.
    """
    weights, noted = _files(run, architecture.key)
    study = trainings_study_name(run, "verdict")
    save_network(trained.subnet, weights)
    write_json(noted, {"study": study, "log_loss": trained.metrics.log_loss})
    found = [
        (content["log_loss"] if content["study"] == study else math.inf, path.stem)
        for path in noted.parent.glob("*.json")
        if (content := read_json(path))
    ]
    for _, key in sorted(found)[most:]:
        for path in _files(run, key):
            path.unlink(missing_ok=True)  # another worker may do so at the same moment


def keep_teachers(run: RunFolder, keys: Collection[str]) -> None:
    """Move what may teach to where the other teachers are, and note it: the settings that name the files may change.

    Any number of workers may do so at once.

    Args:
        run: the run.
        keys: of the architectures that may.

    Raises:
        RunFolderError: there are trainings, and none of their networks is here.
    """
    study, hyper = trainings_study_name(run, "verdict"), default_hyper(run.job, taught=False)
    paths = {key: weights_path(run, study, f"teacher-{key}", hyper) for key in keys}
    run.retrained.mkdir(parents=True, exist_ok=True)
    for key, path in paths.items():
        weights, _ = _files(run, key)
        with suppress(FileNotFoundError):  # it was not among the best, or another worker has moved it
            weights.replace(path)
    found = {key: path.name for key, path in paths.items() if path.is_file()}
    # Those of hand designs stay until the best are noted.
    if keys and not found and not any(check_folder(run).glob("*.safetensors")) and not run.checked_teachers.is_file():
        raise networks_missing(run, study)
    write_json_once(run.checked_teachers, found)


def drop_kept(run: RunFolder) -> None:
    """Delete what the check left."""
    for path in check_folder(run).glob("*"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or another worker has left something
        check_folder(run).rmdir()


def _files(run: RunFolder, key: str) -> tuple[Path, Path]:
    """Weights, and what is noted beside them."""
    folder = check_folder(run)
    return folder / f"{key}.safetensors", folder / f"{key}.json"
