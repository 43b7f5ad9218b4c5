"""Which of the pipeline's stages one trial runs.

Data are prepared by the supernet's trial and the report is written by the final one: as trials of their own they would
cost more than they do, and have nothing to show on NNI's page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from nasrec_automl.pipeline.run_folder import RunFolder

Parameters = dict[str, Any]
"""What a trial is given: `stage`, for a parallel stage `count`, or `error` in place of work."""

TRIAL_STAGES: Mapping[str, tuple[str, ...]] = {
    "supernet": ("data", "supernet"),
    "search": ("search",),
    "retrain": ("retrain",),
    "final": ("final", "report"),
}


class Stage(Protocol):
    """What is needed of `pipeline.base.Stage`."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def parallel(self) -> bool:
        """Whether several processes may run it at once."""

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Units done and units in all."""

    def kept(self, run: RunFolder) -> int:
        """A number that changes whenever there is more for a later start to go on with."""

    def check(self, run: RunFolder) -> None:
        """Compare the job with what the stage has left."""

    def run(
        self,
        run: RunFolder,
        *,
        count: int | None = None,
        report: Callable[[Mapping[str, float]], None] | None = None,
    ) -> dict[str, float]:
        """Run it, or go on with it."""


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
