import os
import subprocess
import sys
import time

import psutil
import pytest

from nasrec_automl.processes import is_alive, own_start

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_this_process_lives() -> None:
    assert own_start() == pytest.approx(psutil.Process().create_time(), abs=0.01)
    assert is_alive(os.getpid(), own_start())
    assert is_alive(os.getpid(), own_start() - 2), "the clock may have been set a little"


def test_another_process_that_has_got_the_number_is_not_it() -> None:
    for seconds in (-60, 60):
        assert not is_alive(os.getpid(), own_start() + seconds)


def test_a_process_that_may_not_be_looked_at_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "status", hidden)
    assert is_alive(os.getpid(), 0.0)


def test_a_killed_process_that_nobody_has_waited_for_is_gone() -> None:
    process = subprocess.Popen(SLEEP)
    started = psutil.Process(process.pid).create_time()
    assert is_alive(process.pid, started)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_alive(process.pid, started)
    process.wait()
