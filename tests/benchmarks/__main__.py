"""`make bench`: measure, print one table, write bench.json."""

import argparse
import gc
import importlib
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks import bfloat16, data, memory, network, study, throughput
from tests.benchmarks.measure import THREADS, Figure, machine

_MEASUREMENTS = {
    f"{part.__name__.rpartition('.')[2]}/{name}": measure
    for part in (network, throughput, bfloat16, memory, data, study)
    for name, measure in part.MEASUREMENTS.items()
}

_COMMANDS = ("ablations", "baselines", "predictor", "recipe", "results", "rungs")
"""Packages with a command of their own: they need runs, and some an extra, which are not imported before."""


def main() -> None:
    if sys.argv[1:] and sys.argv[1] in _COMMANDS:
        importlib.import_module(f"tests.benchmarks.{sys.argv[1]}.command").main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"beginnings of: {', '.join(_MEASUREMENTS)} (all)")
    wanted = parser.parse_args().parts
    chosen = {name: run for name, run in _MEASUREMENTS.items() if not wanted or name.startswith(tuple(wanted))}
    if not chosen:
        parser.error(f"no measurement begins with {' or '.join(wanted)}; there are {', '.join(_MEASUREMENTS)}")
    torch.set_num_threads(THREADS)
    console = Console()
    figures: list[Figure] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        for name, measure in chosen.items():
            progress.update(task, description=name)
            figures += measure()
            gc.collect()  # a measurement's networks go before the next one's come
            progress.advance(task)
    used = machine(THREADS)
    console.print(_table(figures, used))
    rows = [{**figure.as_dict(), "machine": used} for figure in figures]
    Path("bench.json").write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n")


def _table(figures: list[Figure], used: str) -> Table:
    table = Table(title=used, title_justify="left")
    for name in ("measured", "value", "unit", "compared with", "ratio", "target", "met"):
        table.add_column(name, justify="right" if name in ("value", "ratio", "target") else "left")
    for figure in figures:
        table.add_row(
            figure.name,
            "" if figure.value is None else f"{figure.value:,.4g}",
            figure.unit,
            figure.compared_with or "",
            "" if figure.ratio is None else f"{figure.ratio:,.3g}",
            "" if figure.target is None else f"{figure.target:,.3g}",
            {True: "yes", False: "no", None: ""}[figure.met],
        )
    return table


if __name__ == "__main__":
    main()
