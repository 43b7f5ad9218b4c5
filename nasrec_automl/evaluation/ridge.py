"""The head as a convex problem: a logistic regression with a ridge towards the supernet's own head, solved.

For n rows with features x and label y the objective is

    sum of log losses  +  strength / 2 * (sum over j of mean(x_j^2) * (w_j - w0_j)^2  +  (b - b0)^2).

Where rows have weights, sums and means are weighted ones, as if rows were repeated.

The objective is the negative logarithm of the posterior under a Gaussian prior around the supernet's head whose width
is measured in logits: `strength` is about the number of rows that the prior is worth. There is one minimum, also for
separable rows or a single class.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TOLERANCE, _ITERATIONS = 1e-6, 300
_CURVATURE_ROWS, _RENEWAL = 4, 25
"""The preconditioner reads so many rows per coefficient, and is made anew after so many iterations."""
_INFLATION = 1e-4
_PIECE = 8192
_LINE_TOLERANCE, _LINE_TRIALS = 0.1, 30
"""A line search ends where the slope along the line has fallen to this share."""

Relative = Tensor | float
"""Weights of rows `(n,)` float64 with a mean of 1; 1.0 where all rows count alike."""


@torch.no_grad()
def ridge_head(
    features: Tensor,
    label: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    strength: float,
    row_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the minimum by preconditioned nonlinear conjugate gradients (Polak and Ribiere's, cut off at 0).

    Logits are linear in the weights, so a line search needs no product with the features: an iteration costs two such
    products, one for the logits of its direction and one for the gradient. The preconditioner is the factorised
    curvature on some of the rows. It is renewed every so many iterations, for starts far from the minimum.

    Args:
        features: `(n, K)`; their products are in their own precision, everything else is float64.
        label: `(n,)`, from 0 to 1.
        weight: `(K,)` of the supernet.
        bias: `()`.
        strength: strength of the ridge, in rows of weight 1.
        row_weight: `(n,)` where rows have weights, at least 0.

    Returns:
        Weight and bias where the Newton decrement of the objective divided by n, about the root mean square of what is
        left to change in the logits, is below 1e-6. NaN where a feature is no finite number.
    """
    label = label.double()
    logits = torch.addmv(bias, features, weight).double()
    relative = 1.0 if row_weight is None else row_weight.double() / row_weight.double().mean()
    total = len(label) if row_weight is None else row_weight.double().sum().item()
    if not total:
        return weight.clone(), bias.clone()  # nothing counts but the ridge
    ridge = _join(_mean_squares(features, relative), bias.new_ones(())) * strength / total
    if not ridge.isfinite().all():
        return torch.full_like(weight, torch.nan), torch.full_like(bias, torch.nan)
    change = torch.zeros_like(ridge)  # of the weights, then of the bias
    direction = before = torch.zeros_like(ridge)
    decrement_before = 1.0
    factor = torch.empty(0)
    for iteration in range(_ITERATIONS):
        slope = relative * (torch.sigmoid(logits) - label) / len(label)
        gradient = _join(features.T @ slope.to(features.dtype), slope.sum()) + ridge * change
        if iteration % _RENEWAL == 0:
            factor = _curvature_factor(features, logits, ridge, relative)
            direction = torch.zeros_like(ridge)
        step = torch.cholesky_solve(gradient.unsqueeze(1), factor).squeeze(1)
        decrement = gradient.dot(step).item()
        if decrement <= _TOLERANCE**2:
            break
        share = max(0.0, decrement - step.dot(before).item()) / decrement_before
        direction = share * direction - step
        before, decrement_before = gradient, decrement
        towards = (features @ direction[:-1].to(features.dtype)).double() + direction[-1]
        length = _line_search(label, relative, logits, towards, ridge, change, direction)
        change = change + length * direction
        logits = logits + length * towards
    return weight + change[:-1].to(weight), bias + change[-1].to(bias)


def _mean_squares(features: Tensor, relative: Relative) -> Tensor:
    """Mean square of every feature, `(K,)` float64; 1 for a feature that is 0 in every row."""
    squares: Tensor
    if isinstance(relative, float):
        squares = torch.linalg.vector_norm(features, dim=0).double().square() / len(features)
    else:  # in pieces: the squares of all features would double the memory
        pieces = zip(torch.split(features, _PIECE), torch.split(relative, _PIECE), strict=True)
        squares = torch.stack([x.double().square().T @ w for x, w in pieces]).sum(dim=0) / len(features)
    # It has no gradient: under any ridge it keeps its weight.
    squares[squares == 0] = 1.0
    return squares


def _curvature_factor(features: Tensor, logits: Tensor, ridge: Tensor, relative: Relative) -> Tensor:
    """Cholesky factor of the mean objective's curvature, estimated from every so many rows, `(K + 1, K + 1)`."""
    some = _some_rows(len(features), _CURVATURE_ROWS * len(ridge), relative)
    probability = torch.sigmoid(logits[some])
    weights = (probability * (1 - probability) / len(probability)).sqrt().to(features.dtype)
    rows = torch.cat([features[some], features.new_ones(len(weights), 1)], dim=1) * weights.unsqueeze(1)
    curvature = (rows.T @ rows).double()
    # More than the products' rounding in float32 can take away: the factorisation must not fail.
    curvature.diagonal().mul_(1 + _INFLATION).add_(ridge)
    factor: Tensor = torch.linalg.cholesky(curvature)
    return factor


def _some_rows(rows: int, about: int, relative: Relative) -> slice | Tensor:
    """Indices of rows that stand for all: evenly spaced or, if rows have weights, at equal steps of their sum.

    At equal steps of the sum, a heavy row may come several times, and a light one not at all.
    """
    if isinstance(relative, float):
        return slice(None, None, max(1, rows // about))
    steps = (torch.arange(about, dtype=torch.float64, device=relative.device) + 0.5) * (rows / about)
    found: Tensor = torch.searchsorted(relative.cumsum(0), steps).clamp(max=rows - 1)
    return found


def _line_search(
    label: Tensor,
    relative: Relative,
    logits: Tensor,
    towards: Tensor,
    ridge: Tensor,
    change: Tensor,
    direction: Tensor,
) -> float:
    """Minimise along a direction by Newton's method in one dimension, kept between bounds by bisection.

    The derivative along a line is monotone, so that its sign says on which side the minimum lies.
    """
    pull, stiffness = (ridge * change).dot(direction).item(), (ridge * direction).dot(direction).item()
    low, high, length, first = 0.0, float("inf"), 0.0, 0.0
    for trial in range(_LINE_TRIALS):
        probability = torch.sigmoid(logits + length * towards)
        derivative = (relative * (probability - label) * towards).mean().item() + pull + length * stiffness
        if trial == 0:
            first = abs(derivative)
        elif abs(derivative) <= _LINE_TOLERANCE * first:
            break
        low, high = (length, high) if derivative < 0 else (low, length)
        second = (relative * probability * (1 - probability) * towards.square()).mean().item() + stiffness
        length -= derivative / second
        if not low < length < high:
            length = (low + high) / 2 if high < float("inf") else 2 * low
    return length


def _join(weights: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([weights.double(), bias.double().reshape(1)])
