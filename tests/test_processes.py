import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nasrec_automl import processes
from nasrec_automl.processes import is_alive, own_host, start_of

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def fresh() -> Iterator[None]:
    processes._numbering.cache_clear()
    yield
    processes._numbering.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_host_of_this_name_is_another_one_in_another_namespace_and_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {own_host()}
    for name, content in (("_BOOT", "8a3c-1"), ("_NAMESPACE", "")):
        path = tmp_path / name
        path.write_text(content)
        monkeypatch.setattr(processes, name, path)
        processes._numbering.cache_clear()
        found.add(own_host())
    assert len(found) == 3
    assert {host.partition("@")[0] for host in found} == {socket.gethostname()}


@pytest.mark.usefixtures("fresh")
def test_a_host_is_its_name_where_the_system_says_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BOOT", "_NAMESPACE"):
        monkeypatch.setattr(processes, name, tmp_path / "none")
    assert own_host() == socket.gethostname()


def test_this_process_lives() -> None:
    assert is_alive(os.getpid(), start_of())


def test_the_wall_clock_may_be_set_while_a_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says when it was booted by today's clock."""
    started, booted, created = start_of(), psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created + 3600)
    assert start_of() == pytest.approx(started, abs=0.01)
    assert is_alive(os.getpid(), started)


def test_another_process_that_has_got_the_number_is_not_it() -> None:
    for seconds in (-60, 60):
        assert not is_alive(os.getpid(), start_of() + seconds)


def test_a_process_that_may_not_be_looked_at_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "status", hidden)
    assert is_alive(os.getpid(), 0.0)


def test_a_killed_process_that_nobody_has_waited_for_is_gone() -> None:
    process = subprocess.Popen(SLEEP)
    started = start_of(process.pid)
    assert is_alive(process.pid, started)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_alive(process.pid, started)
    process.wait()
