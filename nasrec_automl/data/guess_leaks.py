"""Which columns of a table give the label away: what each says of it alone, by the rows looked at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from nasrec_automl.data.first_rows import FirstRows
from nasrec_automl.data.guess import Guess, numbers_of

_MOST = 0.95
"""An AUC that hardly a column known before has: the best models of whole rows of clicks have 0.8."""
_LEAST_ROWS = 50  # of each label
_MOST_ROWS = 20_000  # in which a leak is seen as well
_BINS = 100


def without_leaks(guesses: Mapping[str, Guess], rows: FirstRows, positive: NDArray[np.bool_]) -> dict[str, Guess]:
    """Leave features out that tell the label alone.

    Args:
        guesses: of all columns, by name.
        rows: the file's first rows.
        positive: `(rows,)`, whose label is 1; what has none is taken for 0.
    """
    # In the file's own order labels may alternate.
    some = np.random.default_rng(0).permutation(len(positive))[:_MOST_ROWS]
    positive = positive[some]
    if min(np.count_nonzero(positive), np.count_nonzero(~positive)) < _LEAST_ROWS:
        return dict(guesses)
    texts = rows.texts.iloc[some]
    return {
        name: _checked(guess, _auc(texts[name], positive)) if guess.role in ("dense", "categorical") else guess
        for name, guess in guesses.items()
    }


def _checked(guess: Guess, auc: float) -> Guess:
    if auc < _MOST:
        return guess
    why = f"GUESSED: tells the label alone, with an AUC of {auc:.3f}: known only later, or rows sorted by it?"
    return Guess("ignored", f"{why} If it is known before, put it under {guess.role}")


def _auc(column: pd.Series[str], positive: NDArray[np.bool_]) -> float:
    """Return the AUC of the mean labels of a column's values, each learned of the other half of the rows."""
    groups = _groups(column)
    even = np.arange(len(groups)) % 2 == 0
    score = np.empty(len(groups))
    for half in (even, ~even):
        means = pd.Series(positive[half]).groupby(groups[half]).mean()
        score[~half] = pd.Series(groups[~half]).map(means).fillna(positive[half].mean())
    return float(roc_auc_score(positive, score))


def _groups(column: pd.Series[str]) -> NDArray[np.int64]:
    """Number the values of a column, of many numbers their quantiles; what is missing is a value too."""
    numbers = numbers_of(column.dropna())
    if numbers is None or len(numbers) <= _BINS:
        return pd.factorize(column)[0]
    values = column.map(numbers).to_numpy(np.float64)
    known = ~np.isnan(values)
    edges = np.quantile(values[known], np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.where(known, np.searchsorted(edges, values, side="right"), -1)
