"""Lightning's trainer, set up once for all trainings of the package."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchCheckpointIO

from nasrec_automl.data.files import clear_left, written_beside
from nasrec_automl.errors import CheckpointError, JobError
from nasrec_automl.training.precision import LIGHTNING, Precision

_logger = logging.getLogger(__name__)

DEVICES = ("cpu", "cuda")
"""What trains and scores."""

_NOISE = (
    ".*does not have many workers.*",  # our batches come from memory-mapped arrays in this process
    ".*LeafSpec.*is deprecated.*",
    ".*Checkpoint directory .* exists and is not empty.*",  # a resumed training's own
    ".*It is recommended to use .*sync_dist=True.*",  # several processes have the same losses and metrics
)


class _CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint straight to its file, and reads it from there: it is several times as large as the tables.

    Lightning's own first makes the whole file in memory, then writes it to the system's folder of temporary files
    (which may be small, or memory again), and moves it. It also reads the whole file at once, and keeps it until all is
    restored.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it beside and rename; a file of Python's says what is wrong with the disk, which torch's does not."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_left(path)  # or each kill in the middle of a write takes the size of a checkpoint
        with written_beside(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())  # or a machine that loses its power keeps the name, and an empty file

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Map the file, which is never written to again but replaced: tensors are read where they are used.

        Weights are copied into the module, and Lightning copies the callbacks' states. An optimiser would keep what it
        is given, and the disk the whole file with it, after others have replaced it. Pickles are never
        read, whatever `weights_only` says.
        """
        checkpoint: dict[str, Any] = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
        if "optimizer_states" in checkpoint:
            checkpoint["optimizer_states"] = copy.deepcopy(checkpoint["optimizer_states"])
        return checkpoint


def checkpoint_steps(path: Path) -> int:
    """How many steps a checkpoint has; -1 where its content is broken, as of one that a crash left half written.

    Raises:
        CheckpointError: it cannot be read now, and its content may be whole. Where an archive is damaged inside, which
            no crash does, torch says the same as where memory is short.
    """
    try:
        return int(torch.load(path, weights_only=True, mmap=True, map_location="cpu")["global_step"])
    except Exception as error:  # whatever a broken archive raises
        # What a crash left half written is no archive. Of a whole one torch complains too, such as where there is no
        # memory left to map it, or where another version of Lightning wrote it.
        if isinstance(error, (OSError, MemoryError)) or is_zipfile(path):
            reason = str(error).partition(". ")[0]  # of an essay for developers the first sentence
            raise CheckpointError(
                f"{path}: cannot be read now ({reason}); mend it and start again, which goes on from there, or delete "
                "it, and the training begins anew"
            ) from None
        _logger.warning(
            "The checkpoint %s cannot be read and is passed over: %s", path, str(error) or type(error).__name__
        )
        return -1


def resume_options(path: Path | None) -> dict[str, Any]:
    """Options of Lightning's `fit` that let a training go on from a checkpoint, where there is one."""
    return {"ckpt_path": str(path), "weights_only": True} if path is not None and path.is_file() else {}


def drop_unreadable(path: Path) -> None:
    """Delete a checkpoint whose content is broken, if it is there: its training begins anew.

    Raises:
        CheckpointError: as of `checkpoint_steps`.
    """
    if path.is_file() and checkpoint_steps(path) < 0:
        path.unlink(missing_ok=True)


def quiet_trainer(
    *,
    max_steps: int,
    device: str,
    callbacks: list[pl.Callback],
    precision: Precision = "float32",
    cls: Any = pl.Trainer,
    **options: Any,
) -> pl.Trainer:
    """A trainer for a fixed number of steps that leaves terminal and disk alone.

    Args:
        max_steps: steps of the training.
        device: `cpu` or `cuda`.
        callbacks: what listens.
        precision: of what is multiplied, in training and in validation.
        cls: NNI wants its own trainer class.
        options: further arguments of the trainer.

    Raises:
        JobError: the device is another, or not there.
    """
    check_device(device)
    plugins = [_CheckpointFile(), *options.pop("plugins", ())]
    with quiet():
        trainer: pl.Trainer = cls(
            max_steps=max_steps,
            precision=LIGHTNING[precision],
            accelerator="gpu" if device == "cuda" else "cpu",
            callbacks=callbacks,
            plugins=plugins,
            logger=False,
            enable_checkpointing=any(isinstance(c, pl.callbacks.ModelCheckpoint) for c in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **{"max_epochs": 1, "devices": 1, **options},
        )
    return trainer


def check_device(device: str, devices: int = 1) -> None:
    """Raise JobError where the job's devices are of no kind that trains, or not there."""
    if device not in DEVICES:
        raise JobError(f"device must be one of {', '.join(DEVICES)}, but it is {device!r}")
    if device != "cuda" or not devices:
        return
    if not torch.cuda.is_available():
        raise JobError("device: `cuda` needs a GPU that torch can use, but it sees none; set `cpu`")
    if torch.cuda.device_count() < devices:
        raise JobError(f"devices: the job wants {devices} GPUs, but torch sees {torch.cuda.device_count()}")


def release_optimizers(trainer: pl.Trainer) -> None:
    """Let go of what optimizers keep of a training that has ended, which is as large as the tables.

    Lightning's objects refer to one another and live on until the garbage collector sees them, which knows nothing of
    how large a tensor is; NNI holds on to the trainer until its process ends.
    """
    for optimizer in trainer.optimizers:
        optimizer.state.clear()
        optimizer.param_groups.clear()


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Let what ends a training from outside arrive as KeyboardInterrupt.

    Lightning turns it into a silent exit: with code 1 after Ctrl-C, and after SIGTERM with code 0, as if all had gone
    well, so that whoever waits for the process would go on without its result.
    """
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's start-up messages and its warnings that do not apply here out of the terminal."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
