"""How the trainings of a stage say how they go."""

from __future__ import annotations

from collections.abc import Callable

from nasrec_automl.training.metrics import Metrics

OnValidation = Callable[[str, int, Metrics], object]
"""Told at each validation of a training which one it is, in words, the step, and metrics on the hpo part."""


def telling(on_validation: OnValidation | None, training: str) -> Callable[[int, Metrics], bool]:
    """What tells of each validation of a training, and ends none."""

    def report(step: int, metrics: Metrics) -> bool:
        if on_validation is not None:
            on_validation(training, step, metrics)
        return False

    return report
