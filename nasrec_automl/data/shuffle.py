"""A random order of training rows, in which successive ones lie close together on disk: data may not fit in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.randomness import rng_for

BLOCK_ROWS = 1 << 12
WINDOW_BLOCKS = 1 << 6


class BlockShuffle:
    """The order of n rows in each epoch, a function of the seed and the epoch alone.

    Blocks of successive rows are drawn in a random order. Every `window_blocks` of them form a window, whose rows are
    shuffled. Where all rows fit into one window, the order is a plain permutation.

    Args:
        rows: n.
        seed: of the order.
        block_rows: successive rows of a block.
        window_blocks: blocks of a window.
    """

    def __init__(
        self, rows: int, seed: int, *, block_rows: int = BLOCK_ROWS, window_blocks: int = WINDOW_BLOCKS
    ) -> None:
        self._rows = rows
        self._seed = seed
        self._block_rows = block_rows
        self._window_blocks = window_blocks
        self._epoch = -1
        self._blocks: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._ends: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._windows: dict[int, NDArray[np.int64]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A pickle need not hold what was drawn, which may be large: it is drawn again.
        return vars(
            BlockShuffle(self._rows, self._seed, block_rows=self._block_rows, window_blocks=self._window_blocks)
        )

    def positions(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return the rows `(stop - start,)` that stand at these places of an epoch's order."""
        if epoch != self._epoch:
            self._begin(epoch)
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right").tolist()
        pieces = []
        for number in range(first, last + 1):
            end = int(self._ends[number])
            window = self._window(number)
            begin = end - len(window)
            pieces.append(window[max(0, start - begin) : stop - begin])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _begin(self, epoch: int) -> None:
        self._epoch, self._windows = epoch, {}
        count = -(-self._rows // self._block_rows)
        if count <= self._window_blocks:
            self._ends = np.array([self._rows])
            return
        self._blocks = rng_for("windows of an epoch", self._seed, epoch).permutation(count)
        sizes = np.minimum(self._block_rows, self._rows - self._blocks * self._block_rows)
        self._ends = np.cumsum(np.add.reduceat(sizes, np.arange(0, count, self._window_blocks)))

    def _window(self, number: int) -> NDArray[np.int64]:
        if number not in self._windows:
            # A batch lies in two windows at most, unless it is larger than one.
            self._windows = {n: window for n, window in self._windows.items() if n == number - 1}
            self._windows[number] = self._draw(number)
        return self._windows[number]

    def _draw(self, number: int) -> NDArray[np.int64]:
        if len(self._ends) == 1:
            return np.random.default_rng((self._seed, self._epoch)).permutation(self._rows)
        blocks = self._blocks[number * self._window_blocks : (number + 1) * self._window_blocks]
        rows = (blocks[:, None] * self._block_rows + np.arange(self._block_rows)).ravel()
        rows = rows[rows < self._rows]
        return rng_for("rows of a window", self._seed, self._epoch, number).permutation(rows)
