"""The trial command of an NNI experiment: `python -m nasrec_automl.experiment.trial JOB` runs what the tuner issued."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nasrec_automl.config import load_job
from nasrec_automl.errors import InUseError, JobError, NasRecError
from nasrec_automl.experiment.cores import share_cores
from nasrec_automl.experiment.trial_process import Reporter, leave, run_trial
from nasrec_automl.experiment.trial_stages import TRIAL_STAGES, Parameters, Pipeline, load_pipeline
from nasrec_automl.experiment.watch import watch_manager
from nasrec_automl.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from nasrec_automl.pipeline.base import Stage

_POLL = 2.0


def main(arguments: Sequence[str], *, pipeline: Pipeline | None = None) -> int:
    """Run one trial.

    Args:
        arguments: the path of the job file.
        pipeline: the stages; the package's by default.

    Returns:
        The exit code: 0, or 1 with the error on stderr.
    """
    watch_manager()
    return run_trial(lambda parameters, reporter: _run(arguments, parameters, reporter, pipeline))


def _run(
    arguments: Sequence[str], parameters: Parameters, reporter: Reporter, pipeline: Pipeline | None
) -> dict[str, float]:
    if "error" in parameters:
        raise NasRecError(parameters["error"])
    if len(arguments) != 1:
        raise JobError(f"trialCommand: expected one argument, the job file, but there are {len(arguments)}")
    if parameters.get("stage") not in TRIAL_STAGES:
        stages = ", ".join(TRIAL_STAGES)
        raise JobError(f"stage: expected one of {stages}, but the trial's parameters are {parameters!r}")
    # The job as the tuner has noted it: the file may have been edited since, for the next run.
    run = RunFolder.open(RunFolder(load_job(arguments[0])).path)
    stages_of_job = (pipeline or load_pipeline()).STAGES
    metrics: dict[str, float] = {}
    for name in TRIAL_STAGES[parameters["stage"]]:
        stage = stages_of_job[name]
        if stage.parallel:
            share_cores(run.job.experiment)
        # Data and report have nothing to show: the result is that of the stage beside them.
        metrics = _run_stage(stage, run, parameters.get("count"), reporter) or metrics
    return metrics


def _run_stage(stage: Stage, run: RunFolder, count: int | None, reporter: Reporter) -> dict[str, float]:
    """Run a stage, once no other process is at it.

    NNI runs trials of a resumed experiment again beside the tuner's new ones: the later one waits, and finds all done.
    """
    told = False
    while True:
        try:
            return stage.run(run, count=count, report=reporter.intermediate)
        except InUseError as error:
            if not told:
                print(f"waits: {error}", file=sys.stderr, flush=True)
                told = True
            time.sleep(_POLL)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
