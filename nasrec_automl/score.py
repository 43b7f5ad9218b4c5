"""The score of an architecture: what an evaluator returns to a search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an architecture. An evaluator of your own may give the log loss alone.

    Attributes:
        log_loss: in nats, on all rows; estimated where only some were read. Smaller is better.
        auc: on the rows that were read, if known; 0 where all of them are of one class, so that there is none.
        standard_error: of the log loss, if known.
        rows: number of rows that were read, if known.
        stopped: whether the architecture was surely worse than its rival before all rows were read.
    """

    log_loss: float
    auc: float | None = None
    standard_error: float | None = None
    rows: int | None = None
    stopped: bool = False
