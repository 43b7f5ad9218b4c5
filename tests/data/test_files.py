import errno
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nasrec_automl.data import files
from nasrec_automl.data.files import (
    beside_of,
    check_output_file,
    clear_left,
    is_read_only,
    write_bytes,
    write_text,
    written_beside,
)
from nasrec_automl.errors import DataError
from nasrec_automl.processes import own_host


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "é" * 10)
    write_text(path, "b")
    assert path.read_text(encoding="utf-8") == "b"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_writes_does_so_beside_under_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, names = tmp_path / "file", set()
    # Containers may share a host's name, and number their processes alike.
    for host, pid in (("a@1", 1), ("a@1", 2), ("a@2", 1), ("b@1", 1)):
        monkeypatch.setattr(files, "own_host", lambda host=host: host)
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        names.add(beside_of(path))
        with ThreadPoolExecutor(1) as other:
            names.add(other.submit(beside_of, path).result())
    assert len(names) == 8
    # What a killed process leaves is found by this pattern.
    assert all(name.match(".file.*.partial") for name in names)


def test_threads_that_write_one_file_do_not_disturb_one_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_beside(path) as beside:
        beside.write_text("first")
        with ThreadPoolExecutor(1) as other:
            other.submit(write_text, path, "second").result()
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_killed_processes_left_is_cleared(kind: str, tmp_path: Path) -> None:
    path, ended = tmp_path / "a[1].bin", subprocess.Popen(["true"])
    ended.wait()
    own = f"{own_host()}.{ended.pid}.7.partial"
    left, *others = (
        tmp_path / name
        for name in (f".a[1].bin.{own}", f".a1.bin.{own}", ".a[1].bin.x.1.2.partial", beside_of(path).name)
    )
    for each in (left, *others):
        each.touch() if kind == "file" else (each / "more").mkdir(parents=True)
    clear_left(path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_host_has_left_is_cleared_after_a_day(kind: str, tmp_path: Path) -> None:
    path, left = tmp_path / "a.bin", tmp_path / ".a.bin.pod-7@0123.1.2.partial"
    written = left
    if kind == "folder":
        left.mkdir()
        written = left / "a.bin"
    written.touch()
    old = time.time() - 25 * 60 * 60
    os.utime(left, (old, old))
    os.utime(written, (old + 2 * 60 * 60,) * 2)
    clear_left(path)
    assert left.exists(), "it may be written"
    os.utime(written, (old, old))
    clear_left(path)
    assert not left.exists()


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    for method in ("write_bytes", "unlink"):  # a read-only disk refuses both
        monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(OSError, match="Read-only file system") as refused:
        write_text(tmp_path / "a.json", "new")
    assert refused.value.filename == str(tmp_path / "a.json")


@pytest.mark.parametrize(("read_only", "reason"), [(True, "it is on a read-only disk"), (False, "no permission")])
def test_a_folder_that_cannot_be_written_is_named_before(
    read_only: bool, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_output_file(tmp_path / "a.csv")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    monkeypatch.setattr(files, "is_read_only", lambda _: read_only)
    with pytest.raises(DataError, match=rf"a\.csv: nothing can be written in its folder \({reason}\)"):
        check_output_file(tmp_path / "a.csv")


def test_a_disk_that_can_be_written_is_not_read_only(tmp_path: Path) -> None:
    assert not is_read_only(tmp_path)
