"""Warm-up: at first the whole supernet is trained, then more and more a sampled path."""

from __future__ import annotations

from dataclasses import replace

from nasrec_automl.architecture import Path
from nasrec_automl.randomness import rng_for
from nasrec_automl.sampling.base import PathSampler
from nasrec_automl.sampling.full_path import full_path


class WarmUp:
    """Draws the path of a step from the step's number (arXiv 2207.07187).

    With probability 1 - t / T at step t of the T warm-up steps the full choice is taken. The wiring of the network
    and the operators of each block toss independent coins. The draw derives from (seed, step) alone, so that a
    resumed training goes on with the paths that it would have had.

    Args:
        sampler: draws the path that the full choices are mixed into.
        steps: T; 0 for no warm-up.
        seed: of the training.
    """

    def __init__(self, sampler: PathSampler, *, steps: int, seed: int) -> None:
        self.sampler = sampler
        self.steps = steps
        self.seed = seed
        self._full = full_path(sampler.space)

    def full_probability(self, step: int) -> float:
        """Probability of the full choice at a step."""
        return max(0.0, 1 - step / self.steps) if self.steps else 0.0

    def path(self, step: int) -> Path:
        """The path of a step, counted from 0."""
        rng = rng_for("path", self.seed, step)
        path = self.sampler.sample(rng)
        probability = self.full_probability(step)
        if probability == 0:
            return path
        full_wiring = rng.random() < probability
        blocks = []
        for block, full in zip(path.blocks, self._full.blocks, strict=True):
            if full_wiring:
                block = replace(
                    block,
                    dense_inputs=full.dense_inputs,
                    sparse_inputs=full.sparse_inputs,
                    left=full.left,
                    right=full.right,
                )
            if rng.random() < probability:
                block = replace(
                    full,
                    dense_inputs=block.dense_inputs,
                    sparse_inputs=block.sparse_inputs,
                    left=block.left,
                    right=block.right,
                )
            blocks.append(block)
        return Path(tuple(blocks))
