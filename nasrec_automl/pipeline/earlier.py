"""What a run takes over from the run that its job continues."""

from __future__ import annotations

from typing import Any

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.errors import CheckpointError
from nasrec_automl.network import Supernet
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.model_folder import ARCHITECTURE_FILE
from nasrec_automl.pipeline.run_folder import DATA_FINGERPRINT, RunFolder
from nasrec_automl.space import SearchSpace, load_search_space


def continued(run: RunFolder, stage: str) -> dict[str, Any]:
    """Return what a stage's outcome depends on, as `Stage.settings`; nothing without an earlier run."""
    if run.job.continues is None:
        return {}
    return {"continues": run.held_paths(stage, "continues", str(run.job.continues))}


def earlier_supernet(run: RunFolder) -> list[Supernet]:
    """Return the earlier run's supernet; none without an earlier run.

    Raises:
        CheckpointError: it is not trained yet, is of another space, has LayerNorm where this run's has none or the
            reverse, or was trained on rows that this run's have not grown from.
        RunFolderError: there is no such run.
    """
    if run.job.continues is None:
        return []
    earlier = RunFolder.open(run.job.continues)
    if not earlier.weights.is_file():
        raise CheckpointError(f"{earlier.path}: its supernet is not trained yet: finish that run before continuing it")
    data = PreparedData.open(run.data)
    _check_rows(data, earlier)
    supernet = load_supernet(earlier.weights, load_search_space(run.job.space), data.schema(run.job.embedding_dim))
    if supernet.layer_norm != run.job.supernet.layer_norm:
        said, wanted = (str(one).lower() for one in (run.job.supernet.layer_norm, supernet.layer_norm))
        raise CheckpointError(
            f"supernet.layer_norm: the job says {said}, but the supernet of {earlier.path}, which it continues, was "
            f"trained with {wanted}; set it to {wanted}, or leave `continues` out"
        )
    return [supernet]


def _check_rows(data: PreparedData, earlier: RunFolder) -> None:
    """Raise CheckpointError unless `data` is what the earlier supernet was trained on, perhaps with appended rows.

    By what the earlier run noted: its folder of prepared data may have been made anew, with another split, since.
    """
    noted = earlier.noted("supernet") or {}
    if noted.get(DATA_FINGERPRINT) not in (data.fingerprint, *data.description.earlier):
        raise CheckpointError(
            f"{data.path}: did not grow from the rows that the supernet of {earlier.path} was trained on. Its training "
            "rows may be validation or test here, and an id another category: append to its prepared folder with "
            "`nasrec-automl prepare ... --append`, or leave `continues` out"
        )


def earlier_winner(run: RunFolder, space: SearchSpace) -> list[Architecture]:
    """Return the architecture that the earlier run ended with; none without an earlier run, or if it has not ended.

    None either where that run was deleted, which has given its supernet before: its winner may be scored already.
    """
    if run.job.continues is None:
        return []
    if not run.job.continues.exists():
        return []
    path = RunFolder.open(run.job.continues).best / ARCHITECTURE_FILE
    return [Architecture.from_json(path.read_text(encoding="utf-8"), space)] if path.is_file() else []
