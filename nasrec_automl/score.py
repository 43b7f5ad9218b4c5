"""What an evaluator says of an architecture, and a search asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """What the evaluator found out about an architecture.

    Attributes:
        log_loss: in nats, on all rows; estimated where only some were read. Smaller is better.
        auc: on the rows that were read; 0 where all of them are of one class, so that there is none.
        standard_error: of the log loss.
        rows: how many rows were read.
        stopped: whether the architecture was surely worse than its rival before all rows were read.
    """

    log_loss: float
    auc: float
    standard_error: float
    rows: int
    stopped: bool
