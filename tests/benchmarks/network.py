"""The supernet against the masked one: a training step, a warm-up step on the full path, scoring a batch."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch

from nasrec_automl import load_search_space
from nasrec_automl.architecture import Path
from nasrec_automl.sampling.full_path import full_path
from tests.benchmarks import criteo
from tests.benchmarks.measure import Figure, interleaved

_FULL, _SMALL = "nasrec-full", "nasrec-small"
_TABLES = (10_000, 500_000)
_STEP_TARGET = {_FULL: 12.0, _SMALL: 8.0}
_SCORE_TARGET = {_FULL: 20.0, _SMALL: 12.0}
_WARM_UP_TARGET = 1.5
_STEPS, _STEPS_LARGE, _SCORES, _WARM_UPS = 24, 12, 8, 4


def _step(name: str, table_rows: int) -> list[Figure]:
    count = _STEPS if table_rows == min(_TABLES) else _STEPS_LARGE
    paths = [a.path for a in criteo.architectures(load_search_space(name), count)]
    times = _training(name, table_rows, paths)
    rows = f"{table_rows:,} rows a table"
    return [_compared(f"{name}: supernet step, batch 512, {rows}", f"{count} paths", times, _STEP_TARGET[name])]


def _warm_up(name: str) -> list[Figure]:
    times = _training(name, min(_TABLES), [full_path(load_search_space(name))] * _WARM_UPS)
    return [_compared(f"{name}: full-path warm-up step, batch 512", f"{_WARM_UPS} steps", times, _WARM_UP_TARGET)]


def _training(name: str, table_rows: int, paths: Iterable[Path]) -> list[list[float]]:
    data = criteo.batch(512, table_rows)
    ours = criteo.training(criteo.supernet(name, table_rows))
    theirs = criteo.masked_training(criteo.masked(name, table_rows))
    return interleaved([partial(ours.step, data), partial(theirs.step, data)], paths)


def _score(name: str) -> list[Figure]:
    ours, theirs = criteo.supernet(name, min(_TABLES)).eval(), criteo.masked(name, min(_TABLES)).eval()
    data = criteo.batch(8192, min(_TABLES))

    @torch.inference_mode()
    def score(network: Callable[..., torch.Tensor], path: Path) -> None:
        network(data.dense, data.ids, path)

    paths = [a.path for a in criteo.architectures(load_search_space(name), _SCORES)]
    times = interleaved([partial(score, ours), partial(score, theirs)], paths)
    return [_compared(f"{name}: scoring a batch of 8192", f"{_SCORES} paths", times, _SCORE_TARGET[name])]


def _compared(name: str, over: str, times: Sequence[Sequence[float]], target: float) -> Figure:
    """Mean time of ours, and the ratio of the total times."""
    ours, theirs = times
    compared = (
        f"masked: mean {1000 * statistics.mean(theirs):,.0f} ms over {over}; "
        f"medians {1000 * statistics.median(ours):,.0f} and {1000 * statistics.median(theirs):,.0f} ms"
    )
    return Figure(name, 1000 * statistics.mean(ours), "ms", compared, sum(theirs) / sum(ours), target)


MEASUREMENTS = {
    **{f"step/{name}/{rows}": partial(_step, name, rows) for name in (_FULL, _SMALL) for rows in _TABLES},
    **{f"score/{name}": partial(_score, name) for name in (_FULL, _SMALL)},
    **{f"warm-up/{name}": partial(_warm_up, name) for name in (_FULL, _SMALL)},
}
