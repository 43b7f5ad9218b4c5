from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

WORKER = """
import subprocess, sys, time
from nasrec_automl.experiment.watch import watch_manager
watch_manager()
subprocess.Popen(["sleep", "60"])
print("ready", flush=True)
time.sleep(60)
"""


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_worker_and_its_children_end_with_the_manager(tmp_path: Path, until: Any) -> None:
    # A shell by the manager's name: what counts is the name of the process.
    manager = tmp_path / "node"
    shutil.copy("/bin/bash", manager)
    (tmp_path / "worker.py").write_text(WORKER)
    command = f"bash -c '{sys.executable} {tmp_path / 'worker.py'}; true'; true"
    with subprocess.Popen([manager, "-c", command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) == 3
        process.kill()
        # The shell between them is not ours to end; it goes when its command has ended.
        until(lambda: not any(alive(child) for child in below if child.is_running()), seconds=5)


def test_a_worker_whose_manager_is_gone_already_ends_at_once() -> None:
    code = "from nasrec_automl.experiment.watch import watch_manager; watch_manager(); print('alive')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "start it with `nnictl create`" in result.stderr
