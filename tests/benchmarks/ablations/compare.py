"""How well a variant ranks, and how much better or worse than the job's own settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.randomness import rng_for
from nasrec_automl.ranking import Estimate, kendall_tau, spearman_rho

Array = NDArray[np.float64]

_RESAMPLES, _INTERVAL = 1000, (2.5, 97.5)


@dataclass(frozen=True)
class Judged:
    """What scores are compared with, and what they say.

    Attributes:
        scores: `(seeds, n)`, a row for each supernet.
        truth: `(n,)` log losses from scratch.
    """

    scores: Array
    truth: Array

    def taus(self, rows: NDArray[np.int64]) -> Array:
        """Kendall's tau of each supernet over some of the architectures, `(seeds,)`."""
        return np.array([kendall_tau(scores[rows], self.truth[rows]) for scores in self.scores])


@dataclass(frozen=True)
class Comparison:
    """How a variant ranks.

    Attributes:
        tau: Kendall's tau, the mean over supernets; its interval is a bootstrap over architectures.
        tau_deviation: standard deviation of tau between supernets of several seeds, which the bootstrap does not see.
        spearman: Spearman's rho, the mean over supernets.
        less_ours: tau less that of the job's own settings, in each draw of the bootstrap.
        less_ours_deviation: standard deviation of this difference between supernets of several seeds.
    """

    tau: Estimate
    tau_deviation: float | None
    spearman: float
    less_ours: Estimate
    less_ours_deviation: float | None


def compare(variant: Judged, ours: Judged, *, seed: int) -> Comparison:
    """Judge a variant on the same architectures, draws and supernet seeds as the job's own settings.

    Args:
        variant: to judge.
        ours: the job's own.
        seed: of the bootstrap; the draws are those of `judge_ranking`.
    """
    count = len(variant.truth)
    rng = rng_for("bootstrap of a ranking", seed)
    draws = [rng.integers(count, size=count, dtype=np.int64) for _ in range(_RESAMPLES)]

    def difference(rows: NDArray[np.int64]) -> Array:
        return variant.taus(rows) - ours.taus(rows)

    tau, tau_deviation = _estimate(variant.taus, draws)
    less_ours, less_ours_deviation = _estimate(difference, draws)
    rho = float(np.mean([spearman_rho(scores, variant.truth) for scores in variant.scores]))
    return Comparison(tau, tau_deviation, rho, less_ours, less_ours_deviation)


def _estimate(
    statistic: Callable[[NDArray[np.int64]], Array], draws: Sequence[NDArray[np.int64]]
) -> tuple[Estimate, float | None]:
    each = statistic(np.arange(len(draws[0])))
    means = np.array([statistic(rows).mean() for rows in draws])
    known = means[np.isfinite(means)]  # a draw may hold a single architecture
    low, high = np.percentile(known, _INTERVAL) if len(known) else (np.nan, np.nan)
    deviation = float(each.std(ddof=1)) if len(each) > 1 else None
    return Estimate(float(each.mean()), float(low), float(high)), deviation
