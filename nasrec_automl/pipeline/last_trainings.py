"""Trainings at a run's end, which processes of one machine divide among them; each leaves its subnet in a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.files import clear_left
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DivergedError, InUseError
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.files import read_json, write_json, write_text
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import step_in_words, train_by_job
from nasrec_automl.pipeline.worker_processes import worker_processes
from nasrec_automl.search import Hyper
from nasrec_automl.space import load_search_space
from nasrec_automl.training.metrics import Metrics

LAST_TRAININGS = "last-trainings"
"""What a helper is told to share, beside the file that lists them."""

_POLL = 0.5
"""Seconds between two looks at what other processes train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTraining:
    """One training, which has ended where its file is there.

    Attributes:
        called: what people are told that it is.
        architecture: what is trained.
        hyper: how.
        parts: that it learns from.
        weights: file of its subnet, in the end.
        label: file with labels for the rows of `parts`, in place of their own.
        seed_offset: added to the job's seed.
    """

    called: str
    architecture: Architecture
    hyper: Hyper
    parts: Sequence[Part]
    weights: Path
    label: Path | None = None
    seed_offset: int = 0

    @property
    def diverged(self) -> Path:
        """Where it says that it diverged, and at which step, in place of a subnet."""
        return self.weights.with_suffix(".diverged")

    @property
    def ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self.weights.is_file() or self.diverged.is_file()

    def to_plain(self) -> dict[str, Any]:
        """As JSON values; the architecture by its parameters."""
        return {
            "called": self.called,
            "architecture": dict(self.architecture.params),
            "hyper": asdict(self.hyper),
            "parts": list(self.parts),
            "weights": str(self.weights),
            "label": None if self.label is None else str(self.label),
            "seed_offset": self.seed_offset,
        }

    @classmethod
    def from_plain(cls, run: RunFolder, content: dict[str, Any]) -> LastTraining:
        """Read what `to_plain` wrote of an architecture of the job's space."""
        return cls(
            called=content["called"],
            architecture=load_search_space(run.job.space).from_params(content["architecture"]),
            hyper=Hyper(**content["hyper"]),
            parts=[Part(part) for part in content["parts"]],
            weights=Path(content["weights"]),
            label=None if content["label"] is None else Path(content["label"]),
            seed_offset=content["seed_offset"],
        )


def train_all(
    run: RunFolder,
    trainings: Sequence[LastTraining],
    folder: Path,
    *,
    workers: int = 1,
    tell: Tell = silent,
) -> None:
    """Train those that have not ended. A call that was killed goes on where its trainings were.

    Args:
        run: whose data are prepared.
        trainings: what is to be trained; with several workers, of architectures of the job's space.
        folder: for what belongs to the call alone: checkpoints and locks.
        workers: processes that share the trainings, this one included; each holds a network.
        tell: told of each validation of this process's trainings.
    """
    left = [training for training in trainings if not training.ended]
    listed = folder / "trainings.json"
    if len(left) > 1 and workers > 1:
        write_json(listed, [training.to_plain() for training in left])
    with worker_processes(run.job, LAST_TRAININGS, min(workers, len(left)), str(listed)):
        while left:
            _share(run, left, folder, tell)
            left = [training for training in left if not training.ended]
            if left:  # others train these, or have died meanwhile
                tell(f"waits for {left[0].called}, in another process")
                time.sleep(_POLL)


def help_train(run: RunFolder, listed: Path) -> None:
    """Train what no other process trains of those that a file lists, once through."""
    _share(run, [LastTraining.from_plain(run, content) for content in read_json(listed) or []], listed.parent, silent)


def left_by(folder: Path) -> list[Path]:
    """What trainings have left in a folder for a later call to go on with."""
    return [path for path in folder.glob("*") if path.suffix in (".ckpt", ".safetensors", ".diverged")]


def _share(run: RunFolder, trainings: Sequence[LastTraining], folder: Path, tell: Tell) -> None:
    for training in trainings:
        with suppress(InUseError), run.lock(training.weights.stem, inside=folder):
            if not training.ended:
                _train(run, training, folder / f"{training.weights.stem}.ckpt", tell)


def _train(run: RunFolder, training: LastTraining, checkpoint: Path, tell: Tell) -> None:
    reached = partial(step_in_words, run, training.hyper, parts=training.parts)

    def on_validation(step: int, metrics: Metrics) -> None:
        tell(f"{training.called}, {reached(step)}: log loss {metrics.log_loss:.4f}")

    try:
        trained = train_by_job(
            run,
            training.architecture,
            training.hyper,
            on_validation,
            parts=training.parts,
            checkpoint=checkpoint,
            seed_offset=training.seed_offset,
            label=None if training.label is None else np.load(training.label, mmap_mode="r"),
        )
    except DivergedError as error:
        write_text(training.diverged, f"{error}\n")
    else:
        clear_left(training.weights)
        save_network(trained.subnet, training.weights)
    checkpoint.unlink(missing_ok=True)
