"""Generated click data with planted interactions, for tests, benchmarks and first steps offline."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.raw import RawData
from nasrec_automl.errors import DataError

_LATENT = 4
_MISSING_SHARE = 0.03
_SECONDS = 10 * 86400
_START = 1_700_000_000


def make_synthetic(
    rows: int,
    seed: int,
    *,
    fields: int = 8,
    dense: int = 4,
    categories: int = 20,
    base_rate: float = 0.3,
) -> RawData:
    """Draw data whose best model must multiply features.

    The logit adds, with these standard deviations: effects of the categories (0.5); inner products of latent
    factors of the field pairs (1, 2), (3, 4), ... (1.2); the product of the factors of fields 1 to 3 (0.7);
    the first dense feature times an effect of the last field (0.6); the dense features themselves (0.3).
    Labels are drawn from its sigmoid, which is all the noise there is: `notes["oracle_log_loss"]` is the log
    loss in nats of the true probabilities.

    Args:
        rows: number of rows.
        seed: the same one gives the same rows. The planted effects depend on it and the sizes, not on `rows`.
        fields: categorical fields, at least 3.
        dense: dense features, 0 allowed.
        categories: distinct values of the first field; the others have up to three times as many.
        base_rate: share of ones.

    Raises:
        DataError: a size that is too small, or a rate outside (0, 1).
    """
    if rows < 1 or seed < 0 or fields < 3 or dense < 0 or categories < 2 or not 0 < base_rate < 1:
        raise DataError(
            "synthetic data need rows >= 1, seed >= 0, fields >= 3, dense >= 0, categories >= 2, 0 < base_rate < 1; "
            f"got rows={rows}, seed={seed}, fields={fields}, dense={dense}, categories={categories}, "
            f"base_rate={base_rate}"
        )
    planted, drawn = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    sizes = [categories * (1 + field % 3) for field in range(fields)]
    codes = [_draw_codes(size, rows, drawn) for size in sizes]
    logs = drawn.normal(1.5, 1.0, size=(rows, dense))
    counts = np.floor(np.exp(logs))
    logit = _logit(sizes, codes, np.log1p(counts) - np.log1p(np.exp(1.5)), planted)
    probability = _sigmoid(logit + _bias(logit, base_rate))
    label = (drawn.random(rows) < probability).astype(np.int64)
    counts[drawn.random(counts.shape) < _MISSING_SHARE] = np.nan
    frame = pd.DataFrame(
        {f"dense{i + 1}": counts[:, i] for i in range(dense)}
        | {f"field{i + 1}": pd.Series([f"c{code}" for code in codes[i]], dtype="str") for i in range(fields)}
    )
    likelihood = np.where(label == 1, probability, 1.0 - probability)
    return RawData(
        name="synthetic",
        frame=frame,
        label=pd.Series(label, name="label"),
        label_description="drawn from a planted probability",
        dense={f"dense{i + 1}": DenseOptions(transform="log") for i in range(dense)},
        categorical={f"field{i + 1}": CategoricalOptions(min_count=2) for i in range(fields)},
        time=pd.Series(_START + np.arange(rows) * _SECONDS // rows, name="time"),
        notes={"oracle_log_loss": float(-np.log(likelihood).mean()), "rows": rows, "seed": seed},
    )


def _draw_codes(size: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    # Few common and many rare categories, as in click data, but none so rare that it cannot be learned.
    weights = 1.0 / np.sqrt(np.arange(1, size + 1))
    return rng.choice(size, size=rows, p=weights / weights.sum()).astype(np.int64)


def _logit(
    sizes: list[int], codes: list[NDArray[np.int64]], dense: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add up the planted effects `(rows,)`; `dense` is `(rows, D)`, about standard normal."""
    effects = [rng.normal(size=size) for size in sizes]
    factors = [rng.normal(size=(size, _LATENT)) for size in sizes]
    of_rows = [factor[code] for factor, code in zip(factors, codes, strict=True)]
    linear = np.sum([effect[code] for effect, code in zip(effects, codes, strict=True)], axis=0)
    pairs = [(of_rows[i] * of_rows[i + 1]).sum(axis=1) for i in range(0, len(sizes) - 1, 2)]
    third = (of_rows[0] * of_rows[1] * of_rows[2]).sum(axis=1)
    # Each sum is divided by its own standard deviation, which its independent unit-variance terms give.
    logit: NDArray[np.float64] = 0.5 * linear / np.sqrt(len(sizes))
    logit += 1.2 * np.sum(pairs, axis=0) / np.sqrt(_LATENT * len(pairs))
    logit += 0.7 * third / np.sqrt(_LATENT)
    slopes, mixed = rng.normal(size=dense.shape[1]), rng.normal(size=sizes[-1])
    if dense.shape[1]:
        logit += 0.3 * (dense @ slopes) / np.sqrt(dense.shape[1]) + 0.6 * dense[:, 0] * mixed[codes[-1]]
    return logit


def _bias(logit: NDArray[np.float64], rate: float) -> float:
    """Find by bisection the shift that gives the mean probability `rate`."""
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logit + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # This form has no exponential that can overflow.
    return 0.5 + 0.5 * np.tanh(0.5 * x)
