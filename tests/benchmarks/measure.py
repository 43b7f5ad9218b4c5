"""How a figure is taken, and what it says."""

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

THREADS = 2

Run = Callable[[Any], None]


@dataclass(frozen=True)
class Figure:
    """One figure of the benchmark.

    Attributes:
        name: what was measured.
        value: in `unit`; None where it was not measured, and `compared_with` says why.
        unit: of the value.
        compared_with: what the ratio sets the value against, measured in the same run.
        ratio: how many times better than that; larger is better.
        target: what the ratio is to reach.
    """

    name: str
    value: float | None
    unit: str
    compared_with: str | None = None
    ratio: float | None = None
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the ratio reaches its target; None without one."""
        return None if self.target is None or self.ratio is None else self.ratio >= self.target

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def processor() -> str:
    """Name of this machine's processor."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def machine(threads: int) -> str:
    """What figures were measured with, for the head of a table."""
    some = f"{threads} thread{'s' * (threads != 1)}"
    return f"{processor()}, {some}, torch {torch.__version__}, Python {platform.python_version()}"


def seconds(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(runs: Sequence[Run], cases: Iterable[Any], *, repeats: int = 1) -> list[list[float]]:
    """Seconds of each run on each case, the runs taking turns, so that a busy moment of the machine hits them alike.

    Every run is called once on the first case before anything is counted, and then `repeats` times on each case, of
    which the fastest counts.

    Returns:
        One list a run, one entry a case.
    """
    cases = list(cases)
    for run in runs:
        run(cases[0])
    taken: list[list[float]] = [[] for _ in runs]
    for case in cases:
        rounds = [[seconds(lambda run=run, case=case: run(case)) for run in runs] for _ in range(repeats)]
        for of_run, times in zip(taken, zip(*rounds, strict=True), strict=True):
            of_run.append(min(times))
    return taken
