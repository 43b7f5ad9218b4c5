"""Which of the pipeline's stages one trial runs.

Data are prepared by the supernet's trial and the report is written by the final one: as trials of their own they would
cost more than they do, and have nothing to show on NNI's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nasrec_automl.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from nasrec_automl.pipeline.base import Stage

Parameters = dict[str, Any]
"""What a trial is given: `run_folder`, `stage`, for a parallel stage `count`, or `error` in place of work."""

TRIAL_STAGES: Mapping[str, tuple[str, ...]] = {
    "supernet": ("data", "supernet"),
    "search": ("search",),
    "retrain": ("retrain",),
    "final": ("final", "report"),
}


def trial_stage(stage: str) -> str:
    """The kind of trial that runs a stage of the pipeline."""
    return next(trial for trial, stages in TRIAL_STAGES.items() if stage in stages)


def next_stage(run: RunFolder, stages: Mapping[str, Stage]) -> Stage | None:
    """The first stage that is not done; None when all are."""
    return next((stage for stage in stages.values() if not stage.is_done(run)), None)


def load_stages() -> Mapping[str, Stage]:
    """Import the stages: torch and Optuna take seconds, so neither the tuner nor the trial does it at import."""
    from nasrec_automl.pipeline.stages import STAGES

    return STAGES
