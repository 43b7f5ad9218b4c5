"""How well scores rank architectures, beside what they are to be compared with. NumPy and SciPy alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import stdev
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from nasrec_automl.randomness import rng_for

Array = NDArray[np.float64]

FEWEST_RANKED = 3
"""Architectures without which there is no order to speak of."""

_INTERVAL = (2.5, 97.5)
_FEWEST_FOR_INTERVAL = 6
"""Architectures that an interval takes: of fewer, many draws of a bootstrap hold two or three, and it says nothing."""

_MOST_STRATA, _SMALLEST_STRATUM = 5, 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its 95 % interval.

    Attributes:
        value: of all architectures; NaN where there is none, as of values that are all equal.
        low: the 2.5th percentile of a bootstrap over the architectures (Efron 1979); NaN of fewer than six.
        high: the 97.5th, likewise.
    """

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How well scores rank architectures that were trained from scratch.

    Attributes:
        architectures: how many.
        seeds: trainings of each.
        tau: Kendall's tau-b of scores and mean log losses.
        spearman: Spearman's rho of the same.
        top_decile: share of the tenth with the best scores that is in the tenth with the lowest log losses.
        regret: log loss of the best score less the lowest of all, in nats.
        ceiling: tau between the mean log losses of disjoint halves of the seeds, over `seeds` ways to halve them: how
            far another training agrees. Scores are compared with the mean of all seeds, which has less noise than a
            half, so that scores without noise of their own could lie above it; None for one seed.
        size_tau: tau of size, of the number of parameters alone, with the sign that suits these log losses: never
            below 0.
        larger_is_better: that sign.
        lead: `tau` less `size_tau`, in each draw of the bootstrap.
        strata_tau: tau over pairs of about equal size: of the same one of `strata` groups by number of parameters.
        strata: how many groups.
        training_bias: Spearman's rho of how often an architecture's weights were trained and what its score has beyond
            its log loss (residuals of a regression of ranks). Below 0, what was trained more scores too well; None
            where it is not known how often.
    """

    architectures: int
    seeds: int
    tau: Estimate
    spearman: Estimate
    top_decile: Estimate
    regret: Estimate
    ceiling: Estimate | None = None
    size_tau: Estimate
    larger_is_better: bool
    lead: Estimate
    strata_tau: Estimate
    strata: int
    training_bias: Estimate | None = None

    @property
    def beats_size(self) -> bool:
        """Whether scores rank better than the number of parameters does."""
        return self.lead.value > 0

    @property
    def surely_beats_size(self) -> bool:
        """Whether that can hardly be chance: the interval of the lead is above 0. Without one it may be."""
        return self.lead.low > 0

    @property
    def has_ceiling(self) -> bool:
        """Whether seeds agree on an order further than chance does: the interval of the ceiling is above 0."""
        return self.ceiling is not None and self.ceiling.low > 0

    @property
    def share_of_ceiling(self) -> float | None:
        """Tau as a share of the ceiling, where there is a tau and a ceiling (see `has_ceiling`)."""
        if self.ceiling is None or not self.has_ceiling or math.isnan(self.tau.value):
            return None
        return self.tau.value / self.ceiling.value

    @property
    def tau_in_words(self) -> str:
        """Tau, or why there is none."""
        if math.isnan(self.tau.value):
            return "the scores or the log losses are all the same"
        return f"tau {self.tau.value:.2f}"

    def to_plain(self) -> dict[str, Any]:
        """As JSON values: what is NaN is null."""
        return {name: without_nan(value) for name, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""

        def read(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            return Estimate(**{name: math.nan if one is None else one for name, one in value.items()})

        return cls(**{name: read(value) for name, value in content.items()})


def judge_ranking(
    scores: ArrayLike,
    losses: ArrayLike,
    parameters: ArrayLike,
    steps: ArrayLike | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> Ranking:
    """Compare scores with trainings from scratch.

    Args:
        scores: `(n,)` of the weight-sharing evaluator; small is good.
        losses: `(n, seeds)` log losses from scratch, all finite.
        parameters: `(n,)` number of parameters.
        steps: `(n,)` how often the weights of each were trained, if known.
        seed: of the bootstrap.
        resamples: draws of the bootstrap.
    """
    score, loss = np.asarray(scores, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    size = np.asarray(parameters, dtype=np.float64)
    trained = None if steps is None else np.asarray(steps, dtype=np.float64)
    number, seeds = len(loss), int(loss.shape[1])
    truth = loss.mean(axis=1)
    sign = 1.0 if not kendall_tau(size, truth) <= 0 else -1.0  # smaller is better where it is above 0
    strata = max(1, min(_MOST_STRATA, number // _SMALLEST_STRATUM))
    groups = equal_groups(size, strata)

    def statistics(rows: NDArray[np.int64]) -> dict[str, float]:
        """Statistics of some rows, under the field names of `Ranking`."""
        x, y = score[rows], truth[rows]
        tau, size_tau = kendall_tau(x, y), kendall_tau(sign * size[rows], y)
        found = {
            "tau": tau,
            "spearman": spearman_rho(x, y),
            "top_decile": top_precision(x, y),
            "regret": top_regret(x, y),
            "size_tau": size_tau,
            "lead": tau - (0.0 if math.isnan(size_tau) else size_tau),  # sizes that are all equal say nothing
            "strata_tau": kendall_tau(x, y, groups[rows]),
        }
        if seeds > 1:
            found["ceiling"] = ceiling_tau(loss[rows])
        if trained is not None:
            found["training_bias"] = spearman_rho(rank_residual(x, y), trained[rows])
        return found

    values = statistics(np.arange(number))
    lows = highs = [math.nan] * len(values)
    if number >= _FEWEST_FOR_INTERVAL:
        rng = rng_for("bootstrap of a ranking", seed)
        draws = (rng.integers(number, size=number, dtype=np.int64) for _ in range(resamples))
        drawn = np.array([[*statistics(rows).values()] for rows in draws])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a statistic that is NaN in all draws
            lows, highs = np.nanpercentile(drawn, _INTERVAL, axis=0).tolist()
    estimates = {
        name: Estimate(float(value), low, high)
        for (name, value), low, high in zip(values.items(), lows, highs, strict=True)
    }
    return Ranking(architectures=number, seeds=seeds, larger_is_better=sign < 0, strata=strata, **estimates)


def kendall_tau(first: Array, second: Array, groups: NDArray[np.int64] | None = None) -> float:
    """Kendall's tau-b (1945), which takes ties into account; NaN where one side is all ties.

    Args:
        first: `(n,)`.
        second: `(n,)`.
        groups: `(n,)`; pairs of two groups do not count.
    """
    x, y = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    if groups is not None:
        same = groups[:, None] == groups[None, :]
        x, y = x * same, y * same
    untied = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / untied if untied else math.nan


def spearman_rho(first: Array, second: Array) -> float:
    """Pearson's correlation of ranks, ties at their middle; NaN where one side is all ties."""
    x, y = (_centred_ranks(values) for values in (first, second))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def _centred_ranks(values: Array) -> Array:
    """Ranks less their mean; ties have their middle."""
    ranks: Array = rankdata(values) - (len(values) + 1) / 2
    return ranks


def top_precision(scores: Array, truth: Array) -> float:
    """Share of the best tenth by score, one at least, that is in the best tenth by truth; of ties the first count."""
    size = max(1, round(len(scores) / 10))
    best, true = (set(np.argsort(values, kind="stable")[:size].tolist()) for values in (scores, truth))
    return len(best & true) / size


def top_regret(scores: Array, truth: Array) -> float:
    """What the choice of the best score costs, in the units of `truth`."""
    return float(truth[np.argmin(scores)] - truth.min())


def ceiling_tau(losses: Array) -> float:
    """Mean tau between halves of the seeds, over as many ways to halve them as there are seeds; NaN for one seed.

    Args:
        losses: `(n, seeds)`.
    """
    seeds = losses.shape[1]
    half = seeds // 2
    if not half:
        return math.nan
    turned = (np.roll(losses, shift, axis=1) for shift in range(seeds))
    return float(np.mean([kendall_tau(one[:, :half].mean(axis=1), one[:, half:].mean(axis=1)) for one in turned]))


def rank_residual(scores: Array, truth: Array) -> Array:
    """What a score's rank has beyond the line through the ranks of truth: above 0, the score is too bad."""
    x, y = (_centred_ranks(values) for values in (truth, scores))
    spread = float(x @ x)
    residual: Array = y - (float(x @ y) / spread if spread else 0.0) * x
    return np.round(residual, 9)  # of a perfect order nothing is left, not rounding errors


def equal_groups(values: Array, count: int) -> NDArray[np.int64]:
    """Number `(n,)` of the group of each value, where `count` groups of equal size follow each other in order."""
    order = np.empty(len(values), dtype=np.int64)
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return order * count // len(values)


def without_nan(value: Any) -> Any:
    """A number, or a mapping of such as deep as it is, with None for NaN, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {name: without_nan(one) for name, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def error_of_mean(values: Sequence[float]) -> float:
    """Standard error of a mean; 0 of a single value, of which none is known."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def tau_error(rows: int) -> float:
    """Standard deviation of Kendall's tau of two unrelated orders (Kendall 1938)."""
    return math.sqrt(2 * (2 * rows + 5) / (9 * rows * (rows - 1))) if rows > 1 else math.nan
