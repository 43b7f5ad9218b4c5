"""Starts an NNI experiment, follows it to its end, and leaves nothing running."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from nasrec_automl.config import load_job
from nasrec_automl.errors import JobError, NasRecError, RunFolderError
from nasrec_automl.experiment.manager import Manager
from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.pipeline.run_folder import RunFolder

_INTERVAL = 0.5
_PATIENCE = 5.0
_SILENCE = 15.0
_AT_WORK = ("INITIALIZED", "RUNNING", "NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL")


def launch(experiment: str | Path, *, port: int | None = None, on_page: Callable[[str], object] | None = None) -> str:
    """Run an experiment to its end, or join the one that already works on its run folder.

    However this function ends, also by Ctrl-C, it stops the experiment. Only where its process is killed does the
    experiment go on alone; the next launch joins it.

    Args:
        experiment: path of an `experiment.yml`.
        port: of NNI's page; by default that of the job, or a free one where it is in use.
        on_page: called with the URL of NNI's page once that is there.

    Returns:
        NNI's id of the experiment.

    Raises:
        NasRecError: the port that was asked for is in use, or the experiment failed; the message is then that of the
            trial that failed last.
    """
    path = Path(experiment).resolve()
    run = run_of(path)
    note = _join(run)
    if note is None:
        _wait_for_folder(run)
        note = _create(path, _free_port(run.job.experiment.port) if port is None else _free(port))
    try:
        if on_page is not None:
            on_page(note.url)
        _wait(note)
    finally:
        _stop(note.id)
    return note.id


def run_of(path: Path) -> RunFolder:
    """The run folder of an experiment file.

    Raises:
        JobError: the file cannot be read or is no experiment of ours, or its job is not as it should be.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        job, base = content["tuner"]["classArgs"]["job"], content.get("trialCodeDirectory", ".")
    except OSError as error:
        raise JobError(
            f"{path}: cannot be read ({error.strerror or error}); `nasrec-automl experiment JOB` writes an experiment"
        ) from None
    except (ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        raise JobError(
            f"{path}: expected an experiment with tuner.classArgs.job; `nasrec-automl experiment JOB` writes one"
        ) from None
    return RunFolder(load_job(path.parent / base / job))


def _join(run: RunFolder) -> ExperimentNote | None:
    """The experiment that an earlier launch left at work; one that has ended is stopped."""
    note = ExperimentNote.read(run)
    manager = None if note is None else note.manager()
    if note is None or manager is None:
        return None
    if manager.status()[0] in _AT_WORK:
        return note
    _stop(note.id)
    return None


def _wait_for_folder(run: RunFolder) -> None:
    """Refuse a folder in use before anything starts; one whose manager was killed is free after a moment."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with run.lock():
                return
        except RunFolderError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_INTERVAL)


def _create(path: Path, port: int) -> ExperimentNote:
    manager = Manager(f"http://localhost:{port}")
    process = _nnictl("create", "--config", str(path), "--port", str(port))
    try:
        output, _ = process.communicate()
    except BaseException:
        # The manager that it starts is a process of its own: let it start, then stop it, whether it answers or not.
        process.communicate()
        if process.returncode == 0:
            _stop("--port", str(port))
        raise
    if process.returncode != 0:
        lines = [line for line in output.splitlines() if line.strip()] or ["it said nothing"]
        raise NasRecError(f"{path}: `nnictl create` failed: {lines[-1]}")
    try:
        return ExperimentNote(id=manager.profile()["id"], url=manager.url)
    except OSError as error:
        raise NasRecError(
            f"{path}: NNI's manager ended right after its start ({error}); the newest folder of ~/nni-experiments has "
            "log/nnimanager.log, which says why"
        ) from None


def _wait(note: ExperimentNote) -> None:
    manager = Manager(note.url)
    silent_since: float | None = None
    while True:
        try:
            status, errors = manager.status()
            failure = _failure(manager) if status == "DONE" else None
            silent_since = None
        except OSError:
            silent_since = silent_since or time.monotonic()
            # A busy machine answers late; a manager that is gone does not answer at all.
            status, errors = ("RUNNING" if time.monotonic() - silent_since < _SILENCE else "STOPPED"), []
        if status == "DONE":
            if failure is not None:
                raise NasRecError(failure or f"the last trial of experiment {note.id} failed")
            return
        if status == "ERROR":
            raise NasRecError(f"NNI experiment {note.id} failed: {'; '.join(errors)}")
        if status not in _AT_WORK:
            raise NasRecError(
                f"NNI experiment {note.id} was stopped before its end; start it again to go on. If nobody stopped it, "
                f"~/nni-experiments/{note.id}/log/nnimanager.log says why it ended"
            )
        time.sleep(_INTERVAL)


def _failure(manager: Manager) -> str | None:
    """The last words of an experiment whose last trial failed; None where it did not."""
    ended = [trial for trial in manager.trials() if trial.ended is not None]
    return manager.last_words() if ended and ended[-1].failed else None


def _stop(*which: str) -> None:
    _nnictl("stop", *which).communicate()


def _nnictl(*arguments: str) -> subprocess.Popen[str]:
    # The trials' `python3` is to be this one, also where its environment is not activated.
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = shutil.which("nnictl", path=here)
    if command is None:
        raise NasRecError("nnictl: no such command; install nasrec_automl with its dependencies (nni==3.0)")
    options: dict[str, Any] = {"env": {**os.environ, "PATH": here}, "start_new_session": True}
    return subprocess.Popen(
        [command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def _free_port(wanted: int) -> int:
    """The port, or another one where it is in use."""
    try:
        return _free(wanted)
    except NasRecError:
        return _free(0)


def _free(port: int) -> int:
    """The port, if it is free; any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise NasRecError(f"port {port}: cannot be used ({error.strerror}); choose another one") from None
        return int(probe.getsockname()[1])
