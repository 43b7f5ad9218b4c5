"""Whole runs over NNI's remote training service, on two machines that are namespaces of this one.

Each has its own SSH server, host name, process numbers and home; they share files, the loopback address and a database.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from nasrec_automl.experiment.launch import launch
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.ports import free_port

pytestmark = [pytest.mark.remote, pytest.mark.timeout(600)]

HOSTS = ("machine-a", "machine-b")
CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
SetEnv HOME={folder} OMP_NUM_THREADS=1
Subsystem sftp internal-sftp
"""


@dataclass
class Machine:
    """A machine that SSH reaches on a port of the loopback address."""

    host: str
    folder: Path
    port: int
    server: subprocess.Popen[bytes] | None = None

    def entry(self) -> dict[str, Any]:
        """What the job says of it."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": psutil.Process().username(),
            "ssh_key_file": str(self.folder / "user_key"),
            "python_path": str(Path(sys.executable).parent),
        }

    def processes(self) -> list[psutil.Process]:
        """What runs there, by this machine's process numbers."""
        return [
            process
            for process in psutil.process_iter(["environ", "status"])
            if (process.info["environ"] or {}).get("HOME") == str(self.folder)
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def trials(self) -> list[psutil.Process]:
        """Trials that run there."""
        return [process for process in self.processes() if "nasrec_automl.experiment.trial" in process.cmdline()]


def start(machine: Machine) -> None:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd is not None, "sshd not found: install it with `apt-get install openssh-server`"
    # Where sshd's unprivileged part stands; the package makes it when its service starts.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    machine.folder.mkdir()
    for key in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(machine.folder / key)]
        subprocess.run(command, check=True)
    config = machine.folder / "sshd_config"
    config.write_text(CONFIG.format(folder=machine.folder, port=machine.port))
    serve = f"hostname {machine.host} && exec {sshd} -D -E {machine.folder}/log -f {config}"
    separate = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    machine.server = subprocess.Popen([*separate, "sh", "-c", serve])


def switch_off(machine: Machine) -> None:
    """End every process of a machine: they are those of one namespace."""
    if machine.server is not None:
        machine.server.kill()
        machine.server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def machines(tmp_path: Path, until: Callable[..., Any]) -> Iterator[list[Machine]]:
    """Two machines."""
    found = [Machine(host, tmp_path / host, free_port()) for host in HOSTS]
    try:
        for machine in found:
            start(machine)
            until(lambda machine=machine: answers(machine.port), seconds=10)
        yield found
    finally:
        for machine in found:
            switch_off(machine)


@pytest.fixture
def job(machines: list[Machine], postgres_url: str, experiment: Any, write_job: Callable[..., Path]) -> Path:
    """The tiny job, on both machines."""
    return write_job(
        experiment.folder,
        storage=postgres_url,
        search={"architectures": 60},
        experiment={
            "concurrency": 2,
            "search_trial": 10,
            "retrain_trial": 2,
            "machines": [machine.entry() for machine in machines],
            "nni_manager_ip": "127.0.0.1",
        },
    )


def studies(run: RunFolder) -> tuple[list[Any], list[Any]]:
    """Trials of the search and of the retrain study, with plain Optuna."""
    names = optuna.get_all_study_names(run.job.storage)
    search, retrain = (next(name for name in names if kind in name) for kind in ("-search", "-retrain"))
    return tuple(optuna.load_study(study_name=name, storage=run.job.storage).trials for name in (search, retrain))


def assert_complete(run: RunFolder) -> None:
    """Every trial that the job asked for has finished, and none twice."""
    search, retrain = studies(run)
    done = [trial for trial in search if trial.state.name == "COMPLETE"]
    assert len(done) == run.job.search.architectures
    assert len({trial.user_attrs["nasrec:key"] for trial in done}) == len(done)
    assert Counter(trial.state.name in ("COMPLETE", "PRUNED") for trial in retrain)[True] == run.job.retrain.trials
    assert not [trial for trial in (*search, *retrain) if trial.state.name == "RUNNING"]
    assert run.report.is_file()


def hosts(trials: list[Any]) -> set[str]:
    # A worker is named "host@digest:process".
    return {trial.user_attrs["nasrec:worker"].split("@")[0] for trial in trials}


def test_two_machines_run_a_job_to_done(job: Path, experiment: Any, machines: list[Machine], on_status: Any) -> None:
    file = write_experiment(job, experiment.file)
    seen: dict[str, Any] = {}

    def follow() -> None:
        manager = experiment.manager()
        seen["status"], seen["trials"] = manager.status()[0], manager.trials()

    on_status(follow)
    launch(file, port=experiment.port)
    assert seen["status"] == "DONE"
    assert {trial.status for trial in seen["trials"]} == {"SUCCEEDED"}
    assert_complete(experiment.run)
    assert hosts(studies(experiment.run)[0]) == set(HOSTS)
    assert not experiment.processes()
    assert not [process for machine in machines for process in machine.processes()]


def searching(run: RunFolder, machine: Machine) -> bool:
    """Whether a worker of the machine has an architecture in hand."""
    name = f"{run.job.name}-search"
    if name not in optuna.get_all_study_names(run.job.storage):  # its workers have begun, and not yet made it
        return False
    study = optuna.load_study(study_name=name, storage=run.job.storage)
    running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    return machine.host in hosts(running)


@pytest.mark.parametrize("fault", ["a killed worker", "a machine switched off"])
def test_nothing_is_lost(job: Path, experiment: Any, machines: list[Machine], on_status: Any, fault: str) -> None:
    lost: list[str] = []

    def follow() -> None:
        if lost:
            return
        active = [trial for trial in experiment.manager().trials() if trial.active]
        if {trial.parameters.get("stage") for trial in active} != {"search"} or len(active) < 2:
            return
        machine = next((machine for machine in machines if searching(experiment.run, machine)), None)
        if machine is not None:
            lost.append(machine.host)
            if fault == "a killed worker":
                machine.trials()[0].send_signal(signal.SIGKILL)
            else:
                switch_off(machine)

    on_status(follow)
    launch(write_experiment(job, experiment.file), port=experiment.port)
    assert lost
    assert_complete(experiment.run)
