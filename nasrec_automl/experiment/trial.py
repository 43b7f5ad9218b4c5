"""The trial command of an NNI experiment: `python -m nasrec_automl.experiment.trial` runs what the tuner issued."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nasrec_automl.errors import InUseError, JobError, NasRecError
from nasrec_automl.experiment.cores import share_cores, trials_of_a_machine
from nasrec_automl.experiment.trial_process import Reporter, leave, run_trial
from nasrec_automl.experiment.trial_stages import TRIAL_STAGES, Parameters, load_stages
from nasrec_automl.experiment.watch import watch_manager
from nasrec_automl.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from nasrec_automl.pipeline.base import Stage

_POLL = 2.0


def main(arguments: Sequence[str], *, stages: Mapping[str, Stage] | None = None) -> int:
    """Run one trial.

    Args:
        arguments: none.
        stages: those of a job; the package's by default.

    Returns:
        The exit code: 0, or 1 with the error on stderr.
    """
    watch_manager()
    return run_trial(lambda parameters, reporter: _run(arguments, parameters, reporter, stages))


def _run(
    arguments: Sequence[str], parameters: Parameters, reporter: Reporter, stages: Mapping[str, Stage] | None
) -> dict[str, float]:
    if "error" in parameters:
        raise NasRecError(parameters["error"])
    if arguments:
        raise JobError(
            f"trialCommand: expected no arguments, but there are {len(arguments)}; write the file again with "
            "`nasrec-automl experiment JOB`"
        )
    if parameters.get("stage") not in TRIAL_STAGES or "run_folder" not in parameters:
        known = ", ".join(TRIAL_STAGES)
        raise JobError(
            f"stage: expected one of {known}, with a run_folder, but the trial's parameters are {parameters!r}"
        )
    # Folder and job as the tuner has noted them: the job's file may have been edited since, for the next run.
    run = RunFolder.open(Path(parameters["run_folder"]))
    if stages is None:
        stages = load_stages()
    metrics: dict[str, float] = {}
    for name in TRIAL_STAGES[parameters["stage"]]:
        stage = stages[name]
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
            # A stage that is not parallel has the machine to itself.
            workers = 1 if stage.parallel else trials_of_a_machine(run.job.experiment)
            return stage.run(run, count=count, on_metrics=reporter.intermediate, workers=workers)
        except InUseError as error:
            if not told:
                print(f"waits: {error}", file=sys.stderr, flush=True)
                told = True
            time.sleep(_POLL)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
