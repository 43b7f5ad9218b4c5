"""Generated click data with planted interactions, for tests, benchmarks and first steps offline."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.planted import Planted, nearest, sigmoid
from nasrec_automl.data.raw import RawData
from nasrec_automl.errors import DataError

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
    order: int = 3,
) -> RawData:
    """Draw data whose best model must multiply features.

    The logit adds, with these standard deviations: effects of the categories (0.5) and of the dense features (0.3);
    of order 2, inner products of latent factors of the field pairs (1, 2), (3, 4), ... (1.2) and the first dense
    feature times an effect of the last field (0.6); of order 3, the product of the factors of fields 1 to 3 (0.7).
    Labels are drawn from its sigmoid, which is all the noise there is.

    The notes tell what each order is worth, in nats on these rows and labels: `oracle_log_loss` is the log loss of the
    true probabilities, `order2_log_loss` about that of the best model whose logit adds functions of one or two
    features, `order1_log_loss` of one. These two are of the true logit, rescaled, without the parts that need more
    features.

    Args:
        rows: number of rows.
        seed: the same one gives the same rows. The planted effects depend on it and the sizes, not on `rows`.
        fields: categorical fields, at least 3.
        dense: dense features, 0 allowed.
        categories: distinct values of the first field; the others have up to three times as many.
        base_rate: share of ones.
        order: the largest one planted, 1 (no feature is multiplied) to 3; effects of lower orders stay as they are.

    Raises:
        DataError: a size that is too small, a rate outside (0, 1), or another order.
    """
    too_small = rows < 1 or seed < 0 or fields < 3 or dense < 0 or categories < 2
    if too_small or not 0 < base_rate < 1 or order not in (1, 2, 3):
        raise DataError(
            "synthetic data need rows >= 1, seed >= 0, fields >= 3, dense >= 0, categories >= 2, 0 < base_rate < 1, "
            f"order 1, 2 or 3; got rows={rows}, seed={seed}, fields={fields}, dense={dense}, categories={categories}, "
            f"base_rate={base_rate}, order={order}"
        )
    for_effects, drawn = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    shares = [_shares(categories * (1 + field % 3)) for field in range(fields)]
    codes = [drawn.choice(len(share), size=rows, p=share).astype(np.int64) for share in shares]
    logs = drawn.normal(1.5, 1.0, size=(rows, dense))
    counts = np.floor(np.exp(logs))
    inputs = np.log1p(counts) - np.log1p(np.exp(1.5))
    planted = Planted.draw(shares, dense, order, for_effects)
    logit = planted.logit(codes, inputs)
    probability = sigmoid(logit + _bias(logit, base_rate))
    label = (drawn.random(rows) < probability).astype(np.int64)
    counts[drawn.random(counts.shape) < _MISSING_SHARE] = np.nan
    frame = pd.DataFrame(
        {f"dense{i + 1}": counts[:, i] for i in range(dense)}
        | {f"field{i + 1}": pd.Series([f"c{code}" for code in codes[i]], dtype="str") for i in range(fields)}
    )
    return RawData(
        name="synthetic",
        frame=frame,
        label=pd.Series(label, name="label"),
        label_description="drawn from a planted probability",
        dense={f"dense{i + 1}": DenseOptions(transform="log") for i in range(dense)},
        categorical={f"field{i + 1}": CategoricalOptions(min_count=2) for i in range(fields)},
        time=pd.Series(_START + np.arange(rows) * _SECONDS // rows, name="time"),
        notes={
            **_log_losses(label, probability, logit, *planted.interactions(codes, inputs)),
            "order": order,
            "rows": rows,
            "seed": seed,
        },
    )


def _shares(size: int) -> NDArray[np.float64]:
    # Few common and many rare categories, as in click data, but none so rare that it cannot be learned.
    weights = 1.0 / np.sqrt(np.arange(1, size + 1))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _log_losses(
    label: NDArray[np.int64],
    probability: NDArray[np.float64],
    logit: NDArray[np.float64],
    pairs: NDArray[np.float64],
    triple: NDArray[np.float64],
) -> dict[str, float]:
    of_order = {
        "order1_log_loss": nearest(logit - pairs - triple, probability),
        "order2_log_loss": nearest(logit - triple, probability),
        "oracle_log_loss": probability,
    }
    return {name: float(-np.log(np.where(label == 1, found, 1.0 - found)).mean()) for name, found in of_order.items()}


def _bias(logit: NDArray[np.float64], rate: float) -> float:
    """Find by bisection the shift that gives the mean probability `rate`."""
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logit + middle).mean() < rate else (low, middle)
    return (low + high) / 2
