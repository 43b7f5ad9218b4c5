"""Finding the checkpoint from which a one-shot training goes on after its process was killed.

NNI saves a one-shot strategy's state before the run, when there is no checkpoint yet, and when it stops. After SIGKILL
only the first of these states exists, so it must name the folder of the later checkpoints, where the newest of them is
found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasrec_automl.training.lightning import checkpoint_steps

CHECKPOINT, FOLDER, BEGUN = "ckpt_path", "checkpoint_folder", "begun"
"""Entries of the strategy's state: the checkpoint that it began from, if any, where it keeps its own, and since when,
in seconds since 1970."""


def place_checkpoints(trainer: Any) -> None:
    """Fix the folder of a trainer's checkpoints, which Lightning leaves open until the training starts."""
    keeper = trainer.checkpoint_callback
    if keeper is not None and keeper.dirpath is None:
        keeper.dirpath = str(Path(trainer.log_dir or trainer.default_root_dir).absolute() / "checkpoints")


def resume_state(trainer: Any, fit_kwargs: dict[str, Any], begun: float) -> dict[str, str]:
    """The state that `newest_checkpoint` reads, as plain strings."""
    keeper = trainer.checkpoint_callback
    state = {} if keeper is None else {FOLDER: str(keeper.dirpath), BEGUN: str(begun)}
    return state if fit_kwargs.get(CHECKPOINT) is None else {**state, CHECKPOINT: str(fit_kwargs[CHECKPOINT])}


def newest_checkpoint(state: dict[str, str]) -> str | None:
    """The checkpoint with the most steps among those that a run left behind; None where it left none.

    Trainers without a logger share a folder, so checkpoints there that are older than the run are another experiment's.
    """
    found = sorted(Path(state[FOLDER]).glob("*.ckpt")) if FOLDER in state else []
    found = [path for path in found if path.stat().st_mtime >= float(state[BEGUN])]
    found += [Path(state[CHECKPOINT])] if CHECKPOINT in state else []
    # The one that it began from may be gone, or one of Lightning's words, such as `last`.
    steps = {path: checkpoint_steps(path) for path in found if path.is_file()}
    best = max(steps, key=lambda path: steps[path], default=None)
    return None if best is None or steps[best] < 0 else str(best)
