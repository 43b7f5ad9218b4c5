"""`make bench`: measure, print one table, write bench.json."""

import json
import platform
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import data, network, study
from tests.benchmarks.measure import THREADS, Figure


def main() -> None:
    torch.set_num_threads(THREADS)
    console = Console()
    figures: list[Figure] = []
    for part in (network, data, study):
        with console.status(f"measuring {part.__name__.rpartition('.')[2]} ..."):
            figures += part.measure()
    machine = f"{_processor()}, {THREADS} threads, torch {torch.__version__}, Python {platform.python_version()}"
    table = Table(title=machine, title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit)
    console.print(table)
    rows = [{**figure.as_dict(), "machine": machine} for figure in figures]
    Path("bench.json").write_text(json.dumps(rows, indent=2) + "\n")


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


if __name__ == "__main__":
    main()
