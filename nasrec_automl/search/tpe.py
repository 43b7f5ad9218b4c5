"""TPE as both studies over hyper-parameters ask it."""

from __future__ import annotations

import hashlib

from optuna.samplers import TPESampler


def tpe(seed: int, taken: int, attempt: int, *, startup: int) -> TPESampler:
    """A fresh sampler (arXiv 2304.11127) for every trial: what it draws depends on the study, not on who draws.

    Args:
        seed: of the study.
        taken: how many trials there are already.
        attempt: proposals for this trial that were known already.
        startup: finished trials before which it draws at random.
    """
    entropy = hashlib.sha256(f"{seed}/{taken}/{attempt}".encode()).digest()[:4]
    return TPESampler(seed=int.from_bytes(entropy, "big"), constant_liar=False, n_startup_trials=startup)
