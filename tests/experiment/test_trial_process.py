"""A trial's process as NNI's local service starts it: by its environment, with its files."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.experiment.trial_process import Reporter

WORK = {
    "under an engine": """
    from nni.runtime.trial_command_channel import set_default_trial_command_channel
    from nni.runtime.trial_command_channel.standalone import StandaloneTrialCommandChannel
    set_default_trial_command_channel(StandaloneTrialCommandChannel())  # as NNI's sequential engine puts its own
    for loss in (0.6, 0.5):
        reporter.intermediate({"log_loss": loss})
    return {"log_loss": 0.5, "auc": parameters["auc"]}
""",
    "canceled": """
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("its study was told", file=sys.stderr)
        raise
    return {"log_loss": 0.5}
""",
    "canceled, with an error": """
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        raise OSError("the database is gone")
""",
    "with a thread left behind": """
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("told", end="")  # NNI's log waits for the end of the line
    return {"log_loss": 0.5}
""",
    "failing": """
    return {"log_loss": 1 / 0}
""",
}


def start(folder: Path, work: str) -> subprocess.CompletedProcess[str]:
    """Run a trial whose work is the text of a function."""
    (folder / "parameter.cfg").write_text(json.dumps({"parameter_id": 7, "parameters": {"auc": 0.75}}))
    code = (
        "import signal, sys, threading, time\nfrom nasrec_automl.experiment.trial_process import leave, run_trial\n"
        f"def work(parameters, reporter):{WORK[work]}\nleave(run_trial(work))"
    )
    nni = {
        "NNI_PLATFORM": "local",
        "NNI_TRIAL_JOB_ID": "abc",
        "NNI_SYS_DIR": str(folder),
        "NNI_OUTPUT_DIR": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **nni},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def sent(folder: Path) -> list[dict[str, Any]]:
    """The metrics that NNI's service finds."""
    lines = (folder / ".nni" / "metrics").read_text().splitlines()
    return [json.loads(line[len("ME000000") :]) for line in lines]


def test_metrics_leave_the_process_whatever_channel_an_engine_puts_in_its_place(tmp_path: Path) -> None:
    done = start(tmp_path, "under an engine")
    assert done.returncode == 0, done.stderr
    assert [(m["type"], m["sequence"], json.loads(m["value"])) for m in sent(tmp_path)] == [
        ("PERIODICAL", 0, {"default": 0.6}),
        ("PERIODICAL", 1, {"default": 0.5}),
        ("FINAL", 0, {"default": 0.5, "auc": 0.75}),
    ]
    assert {(metric["parameter_id"], metric["trial_job_id"]) for metric in sent(tmp_path)} == {(7, "abc")}


def test_a_canceled_trial_hears_of_it_and_dies_of_the_signal(tmp_path: Path) -> None:
    done = start(tmp_path, "canceled")
    assert done.returncode == -signal.SIGINT
    assert done.stderr == "its study was told\n"
    assert sent(tmp_path) == []


def test_a_canceled_trial_dies_of_the_signal_whatever_goes_wrong_meanwhile(tmp_path: Path) -> None:
    assert start(tmp_path, "canceled, with an error").returncode == -signal.SIGINT


def test_a_thread_left_behind_does_not_keep_the_trial_and_its_words_are_kept(tmp_path: Path) -> None:
    done = start(tmp_path, "with a thread left behind")
    assert done.returncode == 0, done.stderr
    assert "PRINT told" in (tmp_path / "trial.log").read_text()


def test_an_unexpected_exception_has_its_traceback(tmp_path: Path) -> None:
    done = start(tmp_path, "failing")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("error: ZeroDivisionError: division by zero\n")
    assert sent(tmp_path) == []


class Kept:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.metrics: list[tuple[str, int, dict[str, float]]] = []

    def send_metric(self, **metric: Any) -> None:
        self.metrics.append((metric["type"], metric["sequence"], metric["value"]))


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_what_is_no_number_is_not_sent_and_leaves_no_gap(unknown: float) -> None:
    channel = Kept()
    reporter = Reporter(channel=channel, parameter_id=7)
    reporter.intermediate({"log_loss": 0.5, "auc": unknown})
    reporter.intermediate({"log_loss": unknown, "auc": 0.7})
    reporter.intermediate({"log_loss": 0.4, "auc": 0.7})
    reporter.final({"log_loss": unknown, "auc": 0.7})
    assert channel.metrics == [("PERIODICAL", 0, {"default": 0.5}), ("PERIODICAL", 1, {"default": 0.4, "auc": 0.7})]
