"""Batches of prepared rows, in an order that is a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.data.joined import Joined
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.shuffle import BlockShuffle
from nasrec_automl.errors import DataError

Batch = tuple[Tensor, ...]
"""dense `(B, D)`, ids `(B, S)`, label `(B,)`, and optionally weight `(B,)`."""

_TINY = float(np.finfo(np.float32).tiny)
_BLOCK = 1 << 20


class TrainingBatches:
    """`steps` shuffled batches over as many epochs as that takes. Lightning and plain loops read it.

    Epoch e runs through an order drawn from (seed, e), see `BlockShuffle`. Its last incomplete batch is dropped: every
    step sees equally many rows. Lightning saves `state_dict` with its checkpoints and loads it to go on.

    Args:
        rows: n rows.
        batch_size: B; where n is smaller, a batch is the whole epoch.
        seed: of the orders.
        steps: number of batches of one iteration.
        rank: of this process, where several share each batch: it gets every `ranks`-th row.
        ranks: number of those processes.

    Raises:
        DataError: no rows, a size or number of steps below 1, or fewer rows a batch than processes.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, steps: int, *, rank: int = 0, ranks: int = 1) -> None:
        _check(rows, batch_size)
        if steps < 1:
            raise DataError(f"the number of steps must be at least 1, but is {steps}")
        self.rows = rows
        self.batch_size = min(batch_size, len(rows))
        if self.batch_size < ranks:
            raise DataError(f"{ranks} processes cannot share a batch of {self.batch_size} rows: set fewer devices")
        self.seed = seed
        self.steps = steps
        self.rank = rank
        self.ranks = ranks
        self._start = 0
        self._done = 0
        self._order = BlockShuffle(len(rows), seed)
        self._mean_weight = 1.0
        if rows.weight is not None:
            self._mean_weight = max(_mean(rows.weight), _TINY)

    def __len__(self) -> int:
        return self.steps

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches of one epoch."""
        return len(self.rows) // self.batch_size

    def batch(self, step: int) -> Batch:
        """Return this process's part of the batch of step `step`, counted from 0, whatever was asked before.

        Returns:
            Dense `(B, D)` float32, ids `(B, S)` int64, label `(B,)` float32, and weight `(B,)` float32 where the rows
            have weights, divided by the mean weight of all rows.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        whole = self._order.positions(epoch, position * self.batch_size, (position + 1) * self.batch_size)
        batch = self.rows.batch(whole[self.rank :: self.ranks])
        if self.rows.weight is None:
            return batch
        *features_and_label, weight = batch
        return (*features_and_label, weight / self._mean_weight)

    def __iter__(self) -> Iterator[Batch]:
        start, self._start = self._start, 0
        for step in range(start, self.steps):
            # Before the yield: a checkpoint is written while the batch's reader holds it, after its step.
            self._done = step + 1
            yield self.batch(step)

    def state_dict(self) -> dict[str, int]:
        """Return the number of steps that the current iteration has given out."""
        return {"step": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration, and no later one, start at `state["step"]`.

        A state from the end of an iteration starts the next one at 0: Lightning saves such between epochs.

        Raises:
            DataError: a state of another length of iteration.
        """
        step = state["step"]
        if not 0 <= step <= self.steps:
            raise DataError(f"cannot go on at step {step} of {self.steps}: the state belongs to another training")
        self._start = self._done = step % self.steps


class EvaluationBatches:
    """All rows once, in order; the last batch may be smaller. Lightning and plain loops read it.

    Args:
        rows: n rows.
        batch_size: B.

    Raises:
        DataError: no rows, or a size below 1.
    """

    def __init__(self, rows: Rows, batch_size: int) -> None:
        _check(rows, batch_size)
        self.rows = rows
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.rows), self.batch_size):
            yield self.rows.batch(slice(start, start + self.batch_size))


def _mean(weight: NDArray[Any] | Joined) -> float:
    """Return the mean; one block at a time is in memory."""
    blocks = (weight[start : start + _BLOCK] for start in range(0, len(weight), _BLOCK))
    return sum(float(block.sum(dtype=np.float64)) for block in blocks) / len(weight)


def _check(rows: Rows, batch_size: int) -> None:
    if not len(rows):
        raise DataError("batches need at least one row, but there are none")
    if batch_size < 1:
        raise DataError(f"the batch size must be at least 1, but is {batch_size}")
