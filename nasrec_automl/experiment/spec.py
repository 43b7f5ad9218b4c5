"""Writes `experiment.yml`, the file that `nnictl create` takes, for a job."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import yaml

from nasrec_automl.config import load_job
from nasrec_automl.experiment.manager import MANY_TRIALS
from nasrec_automl.experiment.trial_stages import TRIAL_STAGES
from nasrec_automl.pipeline.files import write_text

_HEAD = """\
# An NNI experiment that runs the stages of {job} as trials:
#
#     nnictl create --config {name}
#
# Paths are relative to this file. `python3` must be the one that nasrec_automl is installed in: activate its
# environment first. NNI's page listens on every interface and asks for no password.
"""


def write_experiment(job: str | Path, output: str | Path) -> Path:
    """Write the experiment of a job.

    Args:
        job: path of the job file.
        output: path of the file to write; moves together with the job file.

    Returns:
        The path of the file.

    Raises:
        JobError: the job file is not as it should be.
    """
    job, output = Path(job).resolve(), Path(output).resolve()
    config = load_job(job)
    relative = os.path.relpath(job, output.parent)
    content: dict[str, Any] = {
        "experimentName": config.name,
        # The tuner takes what it issues from the job; this is for NNI's page, which wants to know the parameters.
        "searchSpace": {"stage": {"_type": "choice", "_value": list(TRIAL_STAGES)}},
        "trialCommand": f"python3 -m nasrec_automl.experiment.trial {shlex.quote(relative)}",
        "trialCodeDirectory": ".",
        "trialConcurrency": config.experiment.concurrency,
        "maxTrialNumber": MANY_TRIALS,
        "tuner": {
            "className": "nasrec_automl.experiment.tuner.StageTuner",
            "codeDirectory": ".",
            "classArgs": {"job": relative, "optimize_mode": "minimize"},
        },
        "trainingService": {"platform": "local"},
    }
    if config.experiment.max_trial_duration is not None:
        content["maxTrialDuration"] = config.experiment.max_trial_duration
    text = _HEAD.format(job=relative, name=output.name) + yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, width=200
    )
    write_text(output, text)
    return output
