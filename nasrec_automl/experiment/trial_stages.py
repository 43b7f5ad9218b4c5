"""Which of the pipeline's stages one trial runs.

Data are prepared by the supernet's trial and the report is written by the final one: as trials of their own they would
cost more than they do, and have nothing to show on NNI's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

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


class Pipeline(Protocol):
    """What is needed of `pipeline.stages`: the module itself, or a stand-in for tests."""

    @property
    def STAGES(self) -> Mapping[str, Stage]:  # noqa: N802
        """The stages in their order."""

    def next_stage(self, run: RunFolder) -> Stage | None:
        """The first stage that is not done."""


def trial_stage(stage: str) -> str:
    """The kind of trial that runs a stage of the pipeline."""
    return next(trial for trial, stages in TRIAL_STAGES.items() if stage in stages)


def load_pipeline() -> Pipeline:
    """Import the stages: torch and Optuna take seconds, so neither the tuner nor the trial does it at import."""
    import nasrec_automl.pipeline.stages as pipeline

    return pipeline
