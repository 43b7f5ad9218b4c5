"""What the arithmetic reaches of the machine, and what it does not depend on: the tables' sizes."""

from collections.abc import Callable
from functools import partial

import torch

from nasrec_automl import Architecture, load_search_space, profile
from tests.benchmarks import criteo
from tests.benchmarks.measure import Figure, interleaved

_SPACE, _ROWS = "nasrec-small", 10_000
_STEPS, _SCORES, _STEPS_TABLES = 24, 8, 16
_REACHED = 0.45
_LARGE = 1_000_000
_WIDTH, _PRODUCTS = 1024, 4


def _training() -> list[Figure]:
    data = criteo.batch(512, _ROWS)
    training = criteo.training(criteo.supernet(_SPACE, _ROWS))
    return [_reached("training", 512, lambda a: training.step(data, a.path), _STEPS, passes=3)]


def _scoring() -> list[Figure]:
    data, network = criteo.batch(8192, _ROWS), criteo.supernet(_SPACE, _ROWS).eval()

    @torch.inference_mode()
    def score(architecture: Architecture) -> None:
        network(data.dense, data.ids, architecture)

    return [_reached("scoring", 8192, score, _SCORES, passes=1)]


def _reached(name: str, rows: int, run: Callable[[Architecture], None], count: int, *, passes: int) -> Figure:
    """Live multiply-adds a second: `passes` times those of a forward pass (a backward pass is two)."""
    schema = criteo.schema(_ROWS)
    architectures = criteo.architectures(load_search_space(_SPACE), count)
    left, right, out = torch.rand(rows, _WIDTH), torch.rand(_WIDTH, _WIDTH), torch.empty(rows, _WIDTH)

    def multiply(_: Architecture) -> None:
        for _ in range(_PRODUCTS):
            torch.mm(left, right, out=out)

    taken, multiplying = interleaved([run, multiply], architectures)
    rate = passes * rows * sum(profile(a, schema).macs for a in architectures) / sum(taken)
    own = rows * _WIDTH**2 * _PRODUCTS * count / sum(multiplying)
    return Figure(
        f"{_SPACE}: live multiply-adds, {name}, batch {rows}",
        rate / 1e9,
        "G/s",
        f"matrix multiply {_WIDTH} x {_WIDTH} x {rows}: {own / 1e9:,.1f} G/s; {count} paths",
        rate / own,
        _REACHED,
    )


def _tables() -> list[Figure]:
    steps = [
        partial(criteo.training(criteo.supernet(_SPACE, rows)).step, criteo.batch(512, rows))
        for rows in (_ROWS, _LARGE)
    ]
    paths = [a.path for a in criteo.architectures(load_search_space(_SPACE), _STEPS_TABLES)]
    small, large = map(sum, interleaved(steps, paths))
    return [
        Figure(
            f"{_SPACE}: supernet step, batch 512, {_LARGE:,} rows a table",
            1000 * large / len(paths),
            "ms",
            f"{_ROWS:,} rows a table: mean {1000 * small / len(paths):,.0f} ms; {len(paths)} paths",
            small / large,
            0.9,
        )
    ]


MEASUREMENTS = {"training": _training, "scoring": _scoring, "tables": _tables}
