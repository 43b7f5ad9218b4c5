"""Writes `experiment.yml`, the file that `nnictl create` takes, for a job."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import Any

import yaml

from nasrec_automl.config import Job, load_job
from nasrec_automl.config_experiment import MachineConfig
from nasrec_automl.errors import JobError
from nasrec_automl.experiment.manager import MANY_TRIALS
from nasrec_automl.experiment.trial_stages import TRIAL_STAGES
from nasrec_automl.pipeline.files import write_text

_logger = logging.getLogger(__name__)

_FIRST_WORDS = "# An NNI experiment that runs the stages of "
_HEAD = (
    _FIRST_WORDS
    + """\
{job} as trials:
#
#     nnictl create --config {name}
#
# {paths} `python3` must be the one that nasrec_automl is installed in: activate its
# environment first. NNI's page listens on every interface and asks for no password.
"""
)
_RELATIVE = "Paths are relative to this file."
_SHARED = "The run folder has this path on every machine."

_CODE = """\
NNI copies this folder to each machine, and fails on an empty one. The machines read the run folder, which they share.
"""


def write_experiment(job: str | Path, output: str | Path) -> Path:
    """Write the experiment of a job.

    Args:
        job: path of the job file.
        output: path of the file to write; moves together with the job file.

    Returns:
        The path of the file. With `experiment.machines`, a small folder that NNI wants is left in the run folder.

    Raises:
        JobError: the job file is not as it should be, its machines cannot work together on it, or it or somebody
            else's file would be written over.
    """
    job, output = Path(job).resolve(), Path(output).resolve()
    config = load_job(job)
    if output == job:
        raise JobError(f"{job}: is the job itself: name another file to write (--output)")
    if output.is_file() and not output.read_text(errors="replace").startswith(_FIRST_WORDS):
        raise JobError(
            f"{output}: is there already, and no experiment that `nasrec-automl experiment` wrote: name another file "
            "(--output), or delete it"
        )
    if config.search.random_warning:
        _logger.warning("%s", config.search.random_warning)
    remote = bool(config.experiment.machines)
    if remote:
        _check_machines(job, config)
    # With machines, the code folder is another one, from which no relative path leads to the job.
    named = str(job) if remote else os.path.relpath(job, output.parent)
    content: dict[str, Any] = {
        "experimentName": config.name,
        # The tuner takes what it issues from the job; this is for NNI's page, which wants to know the parameters.
        "searchSpace": {"stage": {"_type": "choice", "_value": list(TRIAL_STAGES)}},
        "trialCommand": "python3 -m nasrec_automl.experiment.trial",
        "trialCodeDirectory": ".",
        "trialConcurrency": config.experiment.concurrency,
        "maxTrialNumber": MANY_TRIALS,
        "tuner": {
            "className": "nasrec_automl.experiment.tuner.StageTuner",
            "codeDirectory": ".",
            "classArgs": {"job": named, "optimize_mode": "minimize"},
        },
        "trainingService": {"platform": "local"},
    }
    if config.experiment.max_trial_duration is not None:
        content["maxTrialDuration"] = config.experiment.max_trial_duration
    if remote:
        content |= _remote(config)
    text = _HEAD.format(
        job=named, name=shlex.quote(output.name), paths=_SHARED if remote else _RELATIVE
    ) + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=200)
    write_text(output, text)
    return output


def _check_machines(path: Path, job: Job) -> None:
    if job.storage_url.startswith("sqlite"):
        raise JobError(
            f"{path}: storage: experiment.machines need a database server that all of them reach, such as "
            "postgresql+psycopg2://user@host/studies, but the studies are in an SQLite file"
        )
    for number, machine in enumerate(job.experiment.machines):
        if not machine.ssh_key_file.is_file():
            raise JobError(
                f"{path}: experiment.machines.{number}.ssh_key_file: no such file, {machine.ssh_key_file}; expected "
                f"the private key that logs in as {machine.user} on {machine.host}"
            )


def _remote(job: Job) -> dict[str, Any]:
    """What differs where the trials run on other machines, which see the run folder under the same path."""
    code = job.run_folder / "nni"
    write_text(code / "README", _CODE)
    return {
        "trialCodeDirectory": str(code),
        "nniManagerIp": job.experiment.nni_manager_ip,
        "trainingService": {
            "platform": "remote",
            "reuseMode": False,
            "machineList": [_machine(machine) for machine in job.experiment.machines],
        },
    }


def _machine(machine: MachineConfig) -> dict[str, Any]:
    written: dict[str, Any] = {
        "host": machine.host,
        "port": machine.port,
        "user": machine.user,
        "sshKeyFile": str(machine.ssh_key_file),
    }
    return written if machine.python_path is None else {**written, "pythonPath": machine.python_path}
