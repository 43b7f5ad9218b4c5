"""Which head ranks best: `python -m tests.benchmarks.head`; half an hour, and it goes on where it was stopped.

Rank correlation (Kendall's tau) of scores with log losses from scratch, over architectures of all sizes, and seconds a
score. Errors are those of a bootstrap over the architectures.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import AdagradHead
from nasrec_automl.data.batches import EvaluationBatches
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.adagrad import adagrad_head
from nasrec_automl.evaluation.ridge import ridge_head
from nasrec_automl.network import Supernet
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space
from nasrec_automl.training.metrics import measure
from tests.benchmarks.measure import THREADS
from tests.benchmarks.truth import DATA, sample, train_truth, trained_supernet

Head = tuple[Tensor, Tensor]
Fit = Callable[[Tensor, Tensor, Tensor, Tensor], Head]
_RESAMPLES = 2000
_STRENGTHS, _USUAL = (100, 300, 1000, 3000, 10_000, 30_000), 1000
_FEWER_ROWS = (1000, 2000, 4000)


def _adagrad(seed: int) -> Fit:
    return lambda x, y, w, b: adagrad_head(
        x, y, w, b, AdagradHead(method="adagrad"), torch.Generator().manual_seed(seed)
    )


def _ridge(strength: float, *, rows: int | None = None) -> Fit:
    return lambda x, y, w, b: ridge_head(x[:rows], y[:rows], w, b, strength=strength)


def _ridge_around_zero(strength: float) -> Fit:
    return lambda x, y, w, b: ridge_head(x, y, torch.zeros_like(w), torch.zeros_like(b), strength=strength)


VARIANTS: dict[str, Fit] = {
    "none": lambda x, y, w, b: (w, b),
    "adagrad, 100 steps": _adagrad(0),
    "adagrad, other order": _adagrad(1),
    **{f"ridge, {strength}": _ridge(strength) for strength in _STRENGTHS},
    **{f"ridge around 0, {strength}": _ridge_around_zero(strength) for strength in _STRENGTHS[2:5]},
    **{f"ridge, {_USUAL}, {rows} rows": _ridge(_USUAL, rows=rows) for rows in _FEWER_ROWS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench-head"), help="runs, and what was trained so far")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of training, for each data set")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    for name in DATA:
        run = trained_supernet(name, arguments.folder)
        truth = train_truth(run, until=time.monotonic() + arguments.seconds)
        known = np.isfinite(truth[0])
        architectures = [architecture for architecture, there in zip(sample(run), known, strict=True) if there]
        _print(name, np.nanmean(truth[:, known], axis=0), *_score(run, architectures))


@torch.inference_mode()
def _score(run: RunFolder, architectures: list[Architecture]) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Scores and seconds of a fit by variant, `(architectures, 2)`, and mean seconds of an architecture's features."""
    data = PreparedData.open(run.data)
    supernet = load_supernet(run.weights, load_search_space(run.job.space), data.schema(run.job.embedding_dim)).eval()
    # Prepared rows are in the order of the raw file: fewer of them must be random ones.
    head = data.part(Part.HEAD)
    order = np.random.default_rng(0).permutation(len(head))
    head = Rows(head.dense[order], head.ids[order], head.label[order])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    spent = []
    for architecture in architectures:
        start = time.perf_counter()
        x, y = _features(supernet, architecture, head)
        scored, label = _features(supernet, architecture, data.part(Part.SEARCH))
        spent.append(time.perf_counter() - start)
        weight, bias = supernet.head_weight(architecture), supernet.head.bias
        for name, fit in VARIANTS.items():
            start = time.perf_counter()
            fitted, shift = fit(x, y, weight, bias)
            seconds = time.perf_counter() - start
            found[name].append((measure(torch.addmv(shift, scored, fitted), label).log_loss, seconds))
    return {name: np.array(pairs) for name, pairs in found.items()}, float(np.mean(spent))


def _features(supernet: Supernet, architecture: Architecture, rows: Rows) -> tuple[Tensor, Tensor]:
    parts = [(supernet.features(x, ids, architecture), y) for x, ids, y in EvaluationBatches(rows, 8192)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _print(name: str, truth: NDArray[np.float64], scores: dict[str, NDArray[np.float64]], features: float) -> None:
    table = Table(title=f"{name}: {len(truth)} architectures, features {features:.3f} s a score", title_justify="left")
    for column in ("head", "tau", "less adagrad's", "mean log loss", "seconds a fit"):
        table.add_column(column, justify="left" if column == "head" else "right")
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(_RESAMPLES)]
    reference = np.array([_tau(scores["adagrad, 100 steps"][d, 0], truth[d]) for d in draws])
    whole = _tau(scores["adagrad, 100 steps"][:, 0], truth)
    for variant, pairs in scores.items():
        loss, seconds = pairs.T
        resampled = np.array([_tau(loss[d], truth[d]) for d in draws])
        tau = _tau(loss, truth)
        table.add_row(
            variant,
            f"{tau:.3f} ± {resampled.std():.3f}",
            f"{tau - whole:+.3f} ± {(resampled - reference).std():.3f}",
            f"{loss.mean():.4f}",
            f"{seconds.mean():.3f}",
        )
    Console(width=110).print(table)


def _tau(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float(kendalltau(scores, truth).statistic)


if __name__ == "__main__":
    main()
