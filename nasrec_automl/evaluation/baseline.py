"""What every baseline of a run has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from nasrec_automl.data.rows import Rows
from nasrec_automl.training.metrics import Metrics, measure, targets

_ROWS_AT_ONCE = 65_536


class Baseline(ABC):
    """A fitted model without a network."""

    __slots__ = ()

    def logits(self, rows: Rows) -> torch.Tensor:
        """Log odds, `(n,)`; the features of some rows at a time are in memory."""
        slices = (rows.take(slice(start, start + _ROWS_AT_ONCE)) for start in range(0, len(rows), _ROWS_AT_ONCE))
        return torch.from_numpy(np.concatenate([self._logits(some) for some in slices]))

    def measure(self, rows: Rows) -> Metrics:
        """Log loss and AUC on some rows."""
        return measure(self.logits(rows), *targets(rows))

    @abstractmethod
    def _logits(self, rows: Rows) -> NDArray[np.float64]:
        """Log odds of a slice, `(n,)`."""
