"""The effects that synthetic data plant, by order: how many features at once an effect depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_LATENT = 4
_MAIN, _PAIRS, _TRIPLE, _DENSE, _MIXED = 0.5, 1.2, 0.7, 0.3, 0.6  # standard deviations

Floats = NDArray[np.float64]
Codes = Sequence[NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Effects on the logit, of F fields and D dense features, each a standard normal draw.

    Attributes:
        shares: how often each category of a field occurs, F arrays that add up to 1.
        effects: of each category alone, F arrays.
        factors: of each category, `(size, L)`, F arrays.
        slopes: of each dense feature, `(D,)`.
        mixed: slope of the first dense feature for each category of the last field.
        order: the largest one planted, 1 to 3.
    """

    shares: Sequence[Floats]
    effects: Sequence[Floats]
    factors: Sequence[Floats]
    slopes: Floats
    mixed: Floats
    order: int

    @classmethod
    def draw(cls, shares: Sequence[Floats], dense: int, order: int, rng: np.random.Generator) -> Self:
        """Draw effects: the same ones for each `order`, which decides how many of them `logit` adds up."""
        sizes = [len(of_field) for of_field in shares]
        effects = [rng.normal(size=size) for size in sizes]
        factors = [rng.normal(size=(size, _LATENT)) for size in sizes]
        slopes, mixed = rng.normal(size=dense), rng.normal(size=sizes[-1])
        return cls(shares=shares, effects=effects, factors=factors, slopes=slopes, mixed=mixed, order=order)

    def logit(self, codes: Codes, dense: Floats) -> Floats:
        """Add up the effects `(n,)`.

        Args:
            codes: `(n,)` of each field.
            dense: `(n, D)`, about standard normal.
        """
        of_rows = _of_rows(self.factors, codes)
        # Each sum is divided by its own standard deviation, which its independent unit-variance terms give.
        logit: Floats = _MAIN * np.sum(_of_rows(self.effects, codes), axis=0) / np.sqrt(len(codes))
        if self.order >= 2:
            logit += self._of_pairs(of_rows)
        if self.order >= 3:
            logit += _TRIPLE * (of_rows[0] * of_rows[1] * of_rows[2]).sum(axis=1) / np.sqrt(_LATENT)
        if dense.shape[1]:
            alone = _DENSE * (dense @ self.slopes) / np.sqrt(dense.shape[1])
            logit += alone + _MIXED * dense[:, 0] * self.mixed[codes[-1]] if self.order >= 2 else alone
        return logit

    def interactions(self, codes: Codes, dense: Floats) -> tuple[Floats, Floats]:
        """Return the parts of the logit that need two features at once, and those that need three, `(n,)` each.

        Features are independent of each other. So what is left of a product of centred factors is no sum of functions
        of fewer features (functional analysis of variance; Sobol 1993).
        """
        means = [share @ factor for share, factor in zip(self.shares, self.factors, strict=True)]
        centred = [of_row - mean for of_row, mean in zip(_of_rows(self.factors, codes), means, strict=True)]
        pairs, triple = np.zeros(len(codes[0])), np.zeros(len(codes[0]))
        if self.order >= 2:
            pairs += self._of_pairs(centred)
            if dense.shape[1]:
                slope = self.mixed[codes[-1]] - self.shares[-1] @ self.mixed
                pairs += _MIXED * (dense[:, 0] - dense[:, 0].mean()) * slope
        if self.order >= 3:
            (a, b, c), (mean_a, mean_b, mean_c) = centred[:3], means[:3]
            of_two = a * b * mean_c + a * mean_b * c + mean_a * b * c
            pairs += _TRIPLE * of_two.sum(axis=1) / np.sqrt(_LATENT)
            triple += _TRIPLE * (a * b * c).sum(axis=1) / np.sqrt(_LATENT)
        return pairs, triple

    def _of_pairs(self, of_rows: Sequence[Floats]) -> Floats:
        pairs = [(of_rows[i] * of_rows[i + 1]).sum(axis=1) for i in range(0, len(of_rows) - 1, 2)]
        found: Floats = _PAIRS * np.sum(pairs, axis=0) / np.sqrt(_LATENT * len(pairs))
        return found


def sigmoid(x: Floats) -> Floats:
    """Return probabilities; this form has no exponential that can overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def nearest(logit: Floats, probability: Floats) -> Floats:
    """Return the probabilities sigmoid(a * logit + b) that have the least expected log loss, by Newton's method.

    Args:
        logit: `(n,)`.
        probability: the true ones, `(n,)`.
    """
    design = np.column_stack([logit, np.ones_like(logit)])
    weights = np.array([1.0, 0.0])

    def loss(weights: Floats) -> float:
        return float((np.logaddexp(0.0, design @ weights) - probability * (design @ weights)).mean())

    for _ in range(30):
        found = sigmoid(design @ weights)
        curvature = (design * (found * (1.0 - found))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, design.T @ (found - probability))[0]
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step /= 2  # of few rows a whole step may go too far
        weights -= step
    return sigmoid(design @ weights)


def _of_rows(arrays: Sequence[Floats], codes: Codes) -> list[Floats]:
    return [array[code] for array, code in zip(arrays, codes, strict=True)]
