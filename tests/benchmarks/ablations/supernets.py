"""The supernet of a variant, trained once for each seed as the job trains its own, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import DataConfig
from nasrec_automl.config_training import SupernetConfig
from nasrec_automl.errors import DivergedError
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.supernet import SupernetStage, supernet_label
from tests.benchmarks.ablations.variants import OURS, Variant


@dataclass(frozen=True)
class Scored:
    """What one supernet of a variant gave.

    Attributes:
        scores: log losses of the architectures, `(n,)`.
        seconds: of the supernet's training, over all starts.
    """

    scores: NDArray[np.float64]
    seconds: float


def folder(run: RunFolder) -> Path:
    """Where the ablations of a run are kept."""
    return run.path / "ablations"


def derived(run: RunFolder, path: Path, **changes: Any) -> RunFolder:
    """The run's job in another folder, on the same prepared data, with changes of the job."""
    data = DataConfig(source="prepared", input=run.data)
    return RunFolder(run.job.model_copy(update={"run_folder": path, "data": data, "storage": None, **changes}))


def score(run: RunFolder, variant: Variant, number: int, architectures: Sequence[Architecture]) -> Scored:
    """Train a variant's supernet and score architectures with it, as far as that is not done.

    Args:
        run: whose supernet stage is done.
        variant: of its job.
        number: of the seed; 0 is the job's own, where the run's supernet serves those that change nothing of it.
        architectures: of the job's space.

    Raises:
        DivergedError: the training diverged, now or in an earlier call.
    """
    swap = variant.swap or nullcontext
    # Teachers are the run's, by the package's own code.
    label = supernet_label(RunFolder(run.job.model_copy(update={"supernet": _supernet(run, variant)})))
    with swap():
        trained = _trained(run, variant, number, label)
        # Rows and their order are those of the run, whatever the seed of the supernet.
        search = run.job.search if variant.head is None else run.job.search.model_copy(update={"head": variant.head})
        judged = RunFolder(trained.job.model_copy(update={"seed": run.job.seed, "search": search}))
        path = folder(run) / variant.name / str(number) / "scores.json"
        of = {
            "supernet": trained.settings_digest("supernet"),
            **search.model_dump(mode="json", include={"head", "max_rows"}),
        }
        kept = read_json(path)
        known: dict[str, float] = kept["scores"] if kept is not None and kept["of"] == of else {}
        missing = [architecture for architecture in architectures if architecture.key not in known]
        if missing:
            evaluator = make_evaluator(judged)
            for architecture in missing:
                known[architecture.key] = evaluator.evaluate(architecture).log_loss
            write_json(path, {"of": of, "scores": known})
    progress = read_progress(trained.progress("supernet"))
    scores = np.array([known[architecture.key] for architecture in architectures])
    return Scored(scores, 0.0 if progress is None else progress.seconds)


def _supernet(run: RunFolder, variant: Variant) -> SupernetConfig:
    return run.job.supernet.model_copy(update=dict(variant.supernet))


def _trained(run: RunFolder, variant: Variant, number: int, label: NDArray[np.float32] | None) -> RunFolder:
    own = variant.swap is None and not variant.supernet
    if own and number == 0:
        return run
    job = run.job
    trained = derived(
        run,
        folder(run) / (OURS if own else variant.name) / str(number),
        seed=job.seed + number,
        supernet=_supernet(run, variant),
        # Other processes of a training would not have the swapped code.
        devices=1 if variant.swap else job.devices,
    )
    stage, diverged = SupernetStage(lambda: label), trained.path / "diverged.json"
    if diverged.is_file():
        raise DivergedError(read_json(diverged)["message"])
    try:
        stage.run(trained)
    except DivergedError as error:
        write_json(diverged, {"message": str(error)})
        raise
    return trained
