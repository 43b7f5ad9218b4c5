"""The section of a job on NNI's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from nasrec_automl.config_types import Count, Duration, Port, Section, Whole


class MachineConfig(Section):
    """A machine that runs trials, in the words of NNI's remote training service.

    Attributes:
        host: name or address that the machine with `nnictl` reaches it by.
        user: to log in as.
        port: of its SSH server.
        ssh_key_file: private key, without a passphrase, on the machine with `nnictl`.
        python_path: folder of the `python3` that nasrec_automl is installed for; by default the login's own is taken.
    """

    host: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    port: Port = 22
    ssh_key_file: Path
    python_path: str | None = None


class ExperimentConfig(Section):
    """How the stages run as trials of an NNI experiment.

    Attributes:
        concurrency: trials at a time in search and retrain; of the other stages, processes that share the trainings.
        search_trial: architectures that one search trial scores.
        retrain_trial: trainings of one retrain trial.
        port: of NNI's web page.
        retries: how often a failed trial of a stage is tried again.
        max_trial_duration: after which NNI cancels a trial; no limit by default.
        machines: other machines, reached over SSH, that run the trials in place of this one.
        nni_manager_ip: address that they reach the machine with `nnictl` by.
    """

    concurrency: Count = 1
    search_trial: Count = 64
    retrain_trial: Count = 4
    port: Port = 8080
    retries: Annotated[Whole, Field(ge=0)] = 1
    max_trial_duration: Duration | None = None
    machines: tuple[MachineConfig, ...] = ()
    nni_manager_ip: str | None = None

    @model_validator(mode="after")
    def _machines_find_the_manager(self) -> ExperimentConfig:
        # NNI's own default sends them to their own loopback address.
        if self.machines and not self.nni_manager_ip:
            raise ValueError("machines need nni_manager_ip, the address that they reach the machine with nnictl by")
        return self
