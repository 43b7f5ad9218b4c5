"""How a figure is taken: some runs uncounted, then the median of many."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

THREADS = 2


@dataclass(frozen=True)
class Figure:
    """One figure of the benchmark. A later comparison fills the fields that are empty here."""

    name: str
    value: float
    unit: str
    compared_with: str | None = None
    ratio: float | None = None
    target: float | None = None

    def as_dict(self) -> dict[str, Any]:
        met = None if self.target is None or self.ratio is None else self.ratio >= self.target
        return {**asdict(self), "met": met}


def seconds(run: Callable[[int], None], *, runs: int, warm_up: int = 2) -> float:
    """Median seconds of `run(i)`."""
    for i in range(warm_up):
        run(i)
    taken = []
    for i in range(runs):
        start = time.perf_counter()
        run(warm_up + i)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
