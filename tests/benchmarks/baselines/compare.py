"""What the test part says of two methods, with the error of the difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nasrec_automl.evaluation.paired import placements
from nasrec_automl.training.metrics import log_losses, measure

Array = NDArray[np.float64]
Searches = Sequence[Sequence[Array]]
"""Test logits `(n,)` of each seed of each search or tuning."""


@dataclass(frozen=True)
class Average:
    """A mean over trainings and its standard deviation from one to another; 0 of a single one."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Difference:
    """A mean difference and its standard error: paired over the rows, and over searches and seeds."""

    mean: float
    error: float


@dataclass(frozen=True)
class Quality:
    """A method on test."""

    log_loss: Average
    auc: Average


def quality(label: NDArray[np.generic], searches: Searches) -> Quality:
    """Mean log loss and AUC over all trainings."""
    loss, auc = _measured(label, searches)
    every = [np.concatenate(values) for values in (loss, auc)]
    return Quality(*(Average(float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0) for v in every))


def compare(label: NDArray[np.generic], theirs: Searches, ours: Searches) -> tuple[Difference, Difference]:
    """Theirs less ours, in log loss and AUC.

    The variance is that over the rows (paired, of what each method has there in the mean over its trainings: of log
    losses, and of placement values as DeLong's), and on both sides that of training: between the means of searches
    where there are several, and else between seeds.
    """
    rows = (
        _over_rows([_mean([_losses(label, one) for one in _flat(side)]) for side in (theirs, ours)]),
        sum(map(_over_rows, zip(*(_mean_placements(label, side) for side in (theirs, ours)), strict=True))),
    )
    found = []
    for over_rows, one, other in zip(rows, _measured(label, theirs), _measured(label, ours), strict=True):
        mean = np.concatenate(one).mean() - np.concatenate(other).mean()
        found.append(Difference(float(mean), math.sqrt(over_rows + _training(one) + _training(other))))
    return found[0], found[1]


def _measured(label: NDArray[np.generic], searches: Searches) -> tuple[list[Array], list[Array]]:
    """Log losses and AUCs of the seeds of each search."""
    truth = torch.from_numpy(np.asarray(label, dtype=np.float32))
    found = [[measure(torch.from_numpy(logits), truth) for logits in seeds] for seeds in searches]
    return tuple([np.array([getattr(m, name) for m in seeds]) for seeds in found] for name in ("log_loss", "auc"))


def _training(values: list[Array]) -> float:
    """Variance of the mean of all trainings."""
    units = np.array([seeds.mean() for seeds in values]) if len(values) > 1 else values[0]
    return float(units.var(ddof=1) / len(units)) if len(units) > 1 else 0.0


def _over_rows(sides: Sequence[Array]) -> float:
    """Variance of the mean over rows of what one has there less the other."""
    difference = sides[0] - sides[1]
    return float(difference.var(ddof=1) / len(difference))


def _mean_placements(label: NDArray[np.generic], searches: Searches) -> tuple[Array, Array]:
    """Of positive rows and of negative ones."""
    of_each = [placements(np.asarray(label) == 1, logits) for logits in _flat(searches)]
    positive, negative = zip(*of_each, strict=True)
    return _mean(positive), _mean(negative)


def _mean(trainings: Sequence[Array]) -> Array:
    found: Array = np.mean(trainings, axis=0)
    return found


def _flat(searches: Searches) -> list[Array]:
    return [logits for seeds in searches for logits in seeds]


def _losses(label: NDArray[np.generic], logits: Array) -> Array:
    truth = torch.from_numpy(np.asarray(label, dtype=np.float32))
    return log_losses(torch.from_numpy(logits), truth).numpy()
