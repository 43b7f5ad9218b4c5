import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasrec_automl import heartbeat
from nasrec_automl.config import DataConfig, Job
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.processes import own_host, start_of

HOLD = """
import sys, time
from pathlib import Path
from nasrec_automl.config import DataConfig, Job
from nasrec_automl.pipeline.run_folder import RunFolder

job = Job(name="mine", run_folder=Path(sys.argv[1]), data=DataConfig(source="synthetic"))
with RunFolder(job).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def make(tmp_path: Path) -> RunFolder:
    return RunFolder(Job(name="mine", run_folder=tmp_path / "run", data=DataConfig(source="synthetic")))


def hold(run: RunFolder, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(run.path), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_owns_a_folder_and_the_other_is_told_which(tmp_path: Path) -> None:
    run = make(tmp_path)
    process = hold(run, "run")
    try:
        message = f"{run.path}: in use by process {process.pid} on .*; wait until it ends"
        with pytest.raises(RunFolderError, match=message), run.lock():
            pytest.fail("the folder is in use")
        with run.lock("search"):
            pass  # another stage has its own
        process.send_signal(signal.SIGKILL)
        process.wait()
        with run.lock():
            pass  # the dead hold nothing
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    run = make(tmp_path)
    with pytest.raises(KeyError), run.lock():
        raise KeyError
    with run.lock():
        assert f"process {os.getpid()}" in (run.path / ".run.lock").read_text()
        assert run.in_use() == {"run"}
        with pytest.raises(RunFolderError, match=f"process {os.getpid()}"), run.lock():
            pass


def test_an_owner_on_another_host_counts_while_it_gives_signs_of_life(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.create()
    lock = run.path / ".run.lock"
    lock.write_text(
        f"process {os.getpid()} on elsewhere, since 2026-01-05T10:00:00+00:00, started 1.00 s after the boot"
    )
    assert run.in_use()
    past = time.time() - heartbeat.LOST_AFTER - 1
    os.utime(lock, (past, past))
    assert not run.in_use()


def test_an_owner_on_this_host_counts_while_its_process_lives(tmp_path: Path) -> None:
    run = make(tmp_path)
    process = hold(run, "search")
    try:
        past = time.time() - heartbeat.LOST_AFTER - 1
        os.utime(run.path / ".search.lock", (past, past))
        assert run.in_use()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert not run.in_use()


def test_another_process_that_has_got_the_owners_number_does_not_count(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.create()
    for seconds, counts in ((0, True), (-60, False)):
        started = f"started {start_of() + seconds:.2f} s after the boot"
        text = f"process {os.getpid()} on {own_host()}, since 2026-01-05T10:00:00+00:00, {started}"
        (run.path / ".run.lock").write_text(text)
        assert run.in_use() == ({"run"} if counts else set())


def test_an_owner_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)
    run = make(tmp_path)
    with run.lock():
        lock = run.path / ".run.lock"
        os.utime(lock, (0, 0))
        deadline = time.monotonic() + 10
        while lock.stat().st_mtime == 0:
            assert time.monotonic() < deadline, "no sign of life"
            time.sleep(0.01)


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunFolderError, match=r"cannot lock files \(Function not implemented\)"), make(tmp_path).lock():
        pytest.fail("nothing is locked")


def test_one_who_is_at_work_is_seen_and_owns_nothing(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.create()
    with run.at_work(), run.at_work(), run.lock():
        assert run.in_use()
    with run.at_work():
        assert run.in_use()
        (path,) = run.path.glob(".worker-*.lock")
        path.write_text("process 1 on elsewhere, since 2026-01-05T10:00:00+00:00, started 1.00 s after the boot")
        past = time.time() - heartbeat.LOST_AFTER - 1
        os.utime(path, (past, past))
        assert not run.in_use()
    assert not list(run.path.glob(".worker-*"))


def test_who_goes_to_work_clears_up_after_those_that_were_killed(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.create()
    killed, unwritten = run.path / ".worker-killed.lock", run.path / ".worker-new.lock"
    past = "since 2026-01-05T10:00:00+00:00, started 1.00 s after the boot"
    killed.write_text(f"process {2**22 + 1} on {own_host()}, {past}")
    unwritten.touch()
    elsewhere = run.path / ".worker-elsewhere.lock"
    elsewhere.write_text(f"process 1 on elsewhere, {past}")
    os.utime(elsewhere, (1, 1))
    with run.at_work():
        assert run.in_use()
        assert elsewhere.exists(), "whose clock may be another one"
        assert unwritten.exists(), "of one that is about to say who it is"
        with run.at_work():
            assert len([*run.path.glob(".worker-*.lock")]) == 4
    assert not killed.exists()


def test_one_who_ends_while_it_is_looked_for_is_not_there(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.create()
    (run.path / ".worker-gone.lock").symlink_to(tmp_path / "gone")
    assert not run.in_use()


def test_nobody_can_be_at_work_where_nothing_can_be_written(tmp_path: Path) -> None:
    run = make(tmp_path)
    with pytest.raises(RunFolderError, match="cannot write"), run.at_work():
        pass
