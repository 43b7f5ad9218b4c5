"""What a run takes over from the run that its job continues."""

from __future__ import annotations

from typing import Any

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.errors import CheckpointError
from nasrec_automl.network import Supernet
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import SearchSpace, load_search_space


def continued(run: RunFolder) -> dict[str, Any]:
    """Return what a stage's outcome depends on, as `Stage.settings`; nothing without an earlier run."""
    return {} if run.job.continues is None else {"continues": str(run.job.continues)}


def earlier_supernet(run: RunFolder) -> list[Supernet]:
    """Return the earlier run's supernet; none without an earlier run.

    Raises:
        CheckpointError: it is not trained yet, or of another space or other tables.
        RunFolderError: there is no such run.
    """
    if run.job.continues is None:
        return []
    earlier = RunFolder.open(run.job.continues)
    if not earlier.weights.is_file():
        raise CheckpointError(f"{earlier.path}: its supernet is not trained yet: finish that run before continuing it")
    schema = PreparedData.open(run.data).schema(run.job.embedding_dim)
    return [load_supernet(earlier.weights, load_search_space(run.job.space), schema)]


def earlier_winner(run: RunFolder, space: SearchSpace) -> list[Architecture]:
    """Return the architecture that the earlier run ended with; none without an earlier run, or if it has not ended.

    Raises:
        RunFolderError: there is no such run.
    """
    if run.job.continues is None:
        return []
    path = RunFolder.open(run.job.continues).best / "architecture.json"
    return [Architecture.from_json(path.read_text(encoding="utf-8"), space)] if path.is_file() else []
