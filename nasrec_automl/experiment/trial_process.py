"""What every trial command has in common: parameters in, metrics out, an error as one sentence."""

from __future__ import annotations

import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

import nni
from nni.runtime.trial_command_channel import TrialCommandChannel, get_default_trial_command_channel

from nasrec_automl.errors import NasRecError
from nasrec_automl.experiment.manager import error_line
from nasrec_automl.interrupts import no_lost_interrupts


class Reporter:
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


def run_trial(work: Callable[[dict[str, Any], Reporter], Mapping[str, float]]) -> int:
    """Run one trial with the parameters that NNI has for it, and report its result.

    Args:
        work: takes the parameters and who reports intermediate metrics; returns the final ones.

    Returns:
        The exit code: 0, or 1 with the error on stderr.
    """
    # NNI cancels with SIGINT: what the trial does is told to stop, as by Ctrl-C, so that a study knows.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with no_lost_interrupts():
            return _run(work)
    except KeyboardInterrupt:
        # By any other end NNI would call it failed, not canceled.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise


def _run(work: Callable[[dict[str, Any], Reporter], Mapping[str, float]]) -> int:
    try:
        channel = get_default_trial_command_channel()
        record: Any = channel.receive_parameter()
        # Without an experiment NNI gives none, or empty ones.
        if record is None or not record["parameters"]:
            raise NasRecError("NNI has no parameters for this trial; start it with `nnictl create`, not by hand")
        reporter = Reporter(channel=channel, parameter_id=record["parameter_id"])
        reporter.final(work(record["parameters"], reporter))
    except Exception as error:
        if _was_canceled(error):
            raise KeyboardInterrupt from None
        if isinstance(error, NasRecError):
            print(error_line(str(error)), file=sys.stderr)
        else:
            traceback.print_exc()
            print(error_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return 1
    return 0


def _was_canceled(error: BaseException) -> bool:
    """Whether an error was met while a cancellation was dealt with, as where the database cannot be told of it."""
    before = error.__context__
    return before is not None and (isinstance(before, KeyboardInterrupt) or _was_canceled(before))


def leave(code: int) -> NoReturn:
    """End this process: threads that libraries left behind must not keep the trial, and the experiment, from ending."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
