"""Many purposes draw from one seed, such as the job's: each that draws from here has a stream of its own.

Some streams are made elsewhere. Older than this, and left as they are, so that what is made again is the same: how rows
are split (`data/parts.py`), the order in which a training reads few rows (`data/shuffle.py`), and synthetic data
(`data/synthetic.py`). Torch draws from generators of its own: start values and dropout
(`training/seed.py`), the order of the rows of an Adagrad head (`evaluation/evaluator.py`), and NNI's differentiable
strategies (`nni_plugin/relaxation.py`).
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
    """The same as a seed from 0 to 2^32 - 1, for those who take no generator, such as Optuna's samplers."""
    return _entropy(purpose, numbers) % 2**32


def _entropy(purpose: str, numbers: tuple[int, ...]) -> int:
    text = f"{'/'.join(map(str, numbers))}:{purpose}"  # a purpose may have numbers and colons in it, and comes last
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
