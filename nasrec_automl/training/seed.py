"""A seed for a while: torch's dropout and start values take no generator, so theirs is lent and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed torch's generators from some numbers, and restore them afterwards.

    Args:
        entropy: non-negative numbers, such as the job's seed and the step.
    """
    # Without their number, (3,) and (3, 0) would be one: a SeedSequence is padded with zeros.
    seed = int(np.random.SeedSequence((len(entropy), *entropy)).generate_state(1, np.uint64)[0])
    # `torch.manual_seed` formats a stack trace for each kind of accelerator that is not there: a millisecond a step.
    generators = [torch.default_generator, *torch.cuda.default_generators]
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
