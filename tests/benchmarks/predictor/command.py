"""`python -m tests.benchmarks predictor RUN...`: how well few trainings order architectures that were not trained.

Of a run that `nasrec-automl rank` measured, some architectures are drawn, with a training of each. The predictor is
fitted to these, and Kendall's tau is that of its predictions and the mean log losses of all others, over many draws.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nasrec_automl.architecture import Architecture
from nasrec_automl.evaluation.predictor import predict_log_losses
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.ranking import FEWEST_RANKED, kendall_tau
from nasrec_automl.space import load_search_space


@dataclass(frozen=True)
class Found:
    """Kendall's tau with the log losses of architectures that were not trained, the mean over draws.

    Attributes:
        scores: of the weight-sharing evaluator.
        size: of the number of parameters, the larger the better or the worse, as the trained ones say.
        predictor: of its predictions.
    """

    scores: float
    size: float
    predictor: float


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks predictor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders with a rank.json")
    parser.add_argument("--trained", nargs="+", type=int, default=[8, 16], metavar="N", help="architectures (8 16)")
    parser.add_argument("--draws", type=int, default=200, help="of them (200)")
    options = parser.parse_args(arguments)
    table = Table(title="Kendall's tau with log losses from scratch, of what was not trained", title_justify="left")
    for name in ("run", "trained", "scores", "size", "predictor"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for path in options.runs:
        run = RunFolder.open(path)
        found = read_json(run.rank)
        if found is None:
            parser.error(f"{path} has no ranks: run `nasrec-automl rank` on its job before")
        points, space = found["architectures"], load_search_space(run.job.space)
        architectures = [space.from_params(point["params"]) for point in points]
        for trained in options.trained:
            if not 2 <= trained <= len(points) - FEWEST_RANKED:
                parser.error(f"--trained must be from 2 to {len(points) - FEWEST_RANKED} in {path}, but is {trained}")
            one = predicted_tau(architectures, points, trained, draws=options.draws)
            table.add_row(run.job.name, str(trained), *(f"{x:.2f}" for x in (one.scores, one.size, one.predictor)))
    Console().print(table)


def predicted_tau(
    architectures: list[Architecture], points: list[dict[str, Any]], trained: int, *, draws: int
) -> Found:
    """Fit to some, and compare with the others, many times.

    Args:
        architectures: of the ranks.
        points: what the ranks found of each.
        trained: how many are fitted to.
        draws: how often.
    """
    losses = np.array([point["losses"] for point in points])
    scores, sizes = (np.array([point[name] for point in points], dtype=float) for name in ("score", "parameters"))
    rng = np.random.default_rng(0)
    taus = []
    for _ in range(draws):
        order = rng.permutation(len(points))
        few, rest = order[:trained], order[trained:]
        seen = losses[few, rng.integers(losses.shape[1], size=trained)]
        truth = losses[rest].mean(axis=1)
        predicted = predict_log_losses([architectures[i] for i in few], seen, [architectures[i] for i in rest])
        taus.append(
            [kendall_tau(one, truth) for one in (scores[rest], _sign(sizes[few], seen) * sizes[rest], predicted)]
        )
    return Found(*map(float, np.nanmean(taus, axis=0)))


def _sign(sizes: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    return 1.0 if kendall_tau(sizes, losses) > 0 else -1.0
