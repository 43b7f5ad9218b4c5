"""The trial command of an NNI experiment: `python -m nasrec_automl.experiment.trial JOB` runs what the tuner issued."""

from __future__ import annotations

import math
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import nni
from nni.runtime.trial_command_channel import TrialCommandChannel, get_default_trial_command_channel

from nasrec_automl.config import load_job
from nasrec_automl.errors import JobError, NasRecError
from nasrec_automl.experiment.manager import error_line
from nasrec_automl.experiment.trial_stages import TRIAL_STAGES, Parameters, Pipeline, load_pipeline
from nasrec_automl.experiment.watch import watch_manager
from nasrec_automl.pipeline.run_folder import RunFolder


class _Reporter:
    """Sends metrics to NNI's page.

    NNI's sequential engine, inside the supernet stage, puts a channel of its own in the place of the trial's: what is
    reported through `nni.report_intermediate_result` then never leaves the process. This one keeps the outer channel.

    Args:
        channel: the outer channel.
        parameter_id: of the parameters that came through it.
    """

    def __init__(self, *, channel: TrialCommandChannel, parameter_id: int | None) -> None:
        self._channel = channel
        self._parameter_id = parameter_id
        self._sequence = 0

    def intermediate(self, metrics: Mapping[str, float]) -> None:
        """Add a point to the trial's curve."""
        if self._send("PERIODICAL", self._sequence, metrics):
            self._sequence += 1

    def final(self, metrics: Mapping[str, float]) -> None:
        """Set the trial's result."""
        self._send("FINAL", 0, metrics)

    def _send(self, kind: Literal["PERIODICAL", "FINAL"], sequence: int, metrics: Mapping[str, float]) -> bool:
        # NNI's page cannot read NaN or infinity.
        value = {name: float(metric) for name, metric in metrics.items() if math.isfinite(metric)}
        if "log_loss" not in value:
            return False
        # The metric is log loss, as it is: MINIMISED. `optimize_mode: minimize` tells NNI's page so.
        value["default"] = value.pop("log_loss")
        self._channel.send_metric(
            type=kind,
            parameter_id=self._parameter_id,
            trial_job_id=nni.get_trial_id(),
            sequence=sequence,
            value=value,
        )
        return True


def main(arguments: Sequence[str], *, pipeline: Pipeline | None = None) -> int:
    """Run one trial.

    Args:
        arguments: the path of the job file.
        pipeline: the stages; the package's by default.

    Returns:
        The exit code: 0, or 1 with the error on stderr.
    """
    # NNI cancels with SIGINT, which Lightning would catch and NNI then take for a failure.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    watch_manager()
    try:
        channel = get_default_trial_command_channel()
        record: Any = channel.receive_parameter()
        if record is None:
            raise NasRecError("NNI has no parameters for this trial; start it with `nnictl create`, not by hand")
        reporter = _Reporter(channel=channel, parameter_id=record["parameter_id"])
        reporter.final(_run(arguments, record["parameters"], reporter, pipeline))
    except NasRecError as error:
        print(error_line(str(error)), file=sys.stderr)
        return 1
    except Exception as error:
        traceback.print_exc()
        print(error_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return 1
    return 0


def _run(
    arguments: Sequence[str], parameters: Parameters, reporter: _Reporter, pipeline: Pipeline | None
) -> dict[str, float]:
    if "error" in parameters:
        raise NasRecError(parameters["error"])
    if len(arguments) != 1:
        raise JobError(f"trialCommand: expected one argument, the job file, but there are {len(arguments)}")
    if parameters.get("stage") not in TRIAL_STAGES:
        stages = ", ".join(TRIAL_STAGES)
        raise JobError(f"stage: expected one of {stages}, but the trial's parameters are {parameters!r}")
    run = RunFolder(load_job(arguments[0]))
    stages_of_job = (pipeline or load_pipeline()).STAGES
    metrics: dict[str, float] = {}
    for name in TRIAL_STAGES[parameters["stage"]]:
        stage = stages_of_job[name]
        # Data and report have nothing to show: the result is that of the stage beside them.
        metrics = stage.run(run, count=parameters.get("count"), report=reporter.intermediate) or metrics
    return metrics


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that libraries left behind must not keep the trial, and with it the experiment, from ending.
    os._exit(code)
