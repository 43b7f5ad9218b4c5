"""Independent random streams from one seed: each purpose gets its own.

Some streams are made elsewhere. Three of them are older than this module, and stay as they are so that old results can
be made again: the split of rows (`data/parts.py`), the order in which a training reads few rows (`data/shuffle.py`),
and synthetic data (`data/synthetic.py`). Torch draws from generators of its own: start values and dropout
(`training/seed.py`), the order of the rows of an Adagrad head (`evaluation/evaluator.py`), and NNI's differentiable
strategies (`nni_plugin/relaxation.py`). The baselines of a run have the job's seed itself (`evaluation/boosting.py`).
"""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(purpose: str, *numbers: int) -> np.random.Generator:
    """A generator for one purpose.

    NumPy's own way from several numbers to a stream pads them with zeros: (3,) and (3, 0) are one.

    Args:
        purpose: in words; no two parts of the package have the same.
        numbers: such as the seed and the step.

    Example:
        >>> bool(rng_for("path", 3).integers(1000) == rng_for("path", 3, 0).integers(1000))
        False
    """
    return np.random.default_rng(_entropy(purpose, numbers))


def seed_for(purpose: str, *numbers: int) -> int:
    """A seed for one purpose, from 0 to 2^32 - 1, for what takes no generator, such as Optuna's samplers."""
    return _entropy(purpose, numbers) % 2**32


def _entropy(purpose: str, numbers: tuple[int, ...]) -> int:
    text = f"{'/'.join(map(str, numbers))}:{purpose}"  # a purpose may have numbers and colons in it, and comes last
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
