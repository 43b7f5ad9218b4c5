import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.shards import ShardWriter
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.data.writing import check_new_output, check_output
from nasrec_automl.errors import DataError

RAW = make_synthetic(1000, seed=4)


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    add = ShardWriter.add

    def fail(writer: ShardWriter, rows: Mapping[str, NDArray[Any]]) -> None:
        written.append(rows)
        if len(written) == 5:
            raise KeyboardInterrupt
        add(writer, rows)

    monkeypatch.setattr(ShardWriter, "add", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(RAW, tmp_path / "p")
    assert len(written) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_preparation_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".p.partial"
    (left / "train").mkdir(parents=True)
    (left / "train" / "other.npy").write_text("half")
    (left / "dataset.json").write_text("half")
    prepare(RAW, tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert sorted(
        path.relative_to(tmp_path / "p" / "train").as_posix() for path in (tmp_path / "p").glob("train/*/*")
    ) == [
        "00000/dense.npy",
        "00000/ids.npy",
        "00000/label.npy",
    ]
    assert sorted(path.name for path in (tmp_path / "p").iterdir() if path.is_file()) == [
        "dataset.json",
        "preprocessing.json",
        "statistics.json",
    ]


def test_an_earlier_preparation_is_replaced(tmp_path: Path) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint
    second = prepare(RAW, tmp_path / "p", seed=9).fingerprint
    assert first != second
    assert PreparedData.open(tmp_path / "p").fingerprint == second
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_failed_replacement_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ShardWriter, "add", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare(RAW, tmp_path / "p", seed=9)
    assert PreparedData.open(tmp_path / "p").fingerprint == first
    assert len(PreparedData.open(tmp_path / "p").part("train")) > 0


def test_other_folders_and_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("too")
    for name in ("mine", "file"):
        with pytest.raises(DataError, match=f"{name}: already there and not a prepared data set"):
            prepare(RAW, tmp_path / name)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "too"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    prepare(RAW, tmp_path / "empty")
    prepare(RAW, tmp_path / "a" / "b" / "c")


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    (tmp_path / ".p.partial").mkdir()
    owner = os.open(tmp_path / ".p.partial", os.O_RDONLY)
    fcntl.flock(owner, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is preparing it"):
        prepare(RAW, tmp_path / "p")
    os.close(owner)
    prepare(RAW, tmp_path / "p")


PROCESS = """
import sys, time
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic

def tell(task, done, total):
    if task == sys.argv[2]:
        print(task, flush=True)
        time.sleep(float(sys.argv[3]))

prepare(make_synthetic(1000, seed=4), sys.argv[1], seed=5, on_progress=tell)
"""


def start(output: Path, task: str, seconds: float) -> subprocess.Popen[str]:
    """Prepare in another process, which halts when it is at this task."""
    command = [sys.executable, "-c", PROCESS, str(output), task, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{task}\n"
    return process


@pytest.mark.parametrize("task", ["reading rows", "writing rows"])
def test_a_killed_process_leaves_the_earlier_folder_whole(tmp_path: Path, task: str) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint
    with start(tmp_path / "p", task, 60) as process:
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".p.partial" / "spill").is_dir()
    data = PreparedData.open(tmp_path / "p")
    data.verify()
    assert data.fingerprint == first
    assert prepare(RAW, tmp_path / "p", seed=9).fingerprint != first
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_the_second_of_two_processes_leaves_the_first_alone(tmp_path: Path) -> None:
    with start(tmp_path / "p", "writing rows", 3) as process:
        with pytest.raises(DataError, match="another process is preparing it: wait"):
            prepare(RAW, tmp_path / "p")
        assert process.wait() == 0
    data = PreparedData.open(tmp_path / "p")
    data.verify()
    assert data.description.split.seed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_swap_that_was_killed_half_way_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint
    (tmp_path / "p").rename(tmp_path / ".p.old")

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ShardWriter, "add", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare(RAW, tmp_path / "p", seed=9)
    assert PreparedData.open(tmp_path / "p").fingerprint == first
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_folder_that_moved_before_it_was_locked_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def moved_and_locked(descriptor: int, how: int) -> None:
        if (tmp_path / ".p.partial").exists():
            (tmp_path / ".p.partial").rename(tmp_path / "p")
            (tmp_path / ".p.partial").mkdir()
            (tmp_path / ".p.partial" / "of the third").touch()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", moved_and_locked)
    with pytest.raises(DataError, match="another process is preparing it"):
        prepare(RAW, tmp_path / "p")
    assert (tmp_path / ".p.partial" / "of the third").exists()


def test_a_folder_without_permission_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(DataError, match=rf"p/q: nothing can be written in {tmp_path} \(no permission\)"):
        check_output(tmp_path / "p" / "q")
    monkeypatch.setattr("nasrec_automl.data.writing.is_read_only", lambda _: True)
    with pytest.raises(DataError, match=rf"in {tmp_path} \(it is on a read-only disk\): choose another"):
        check_output(tmp_path / "p" / "q")
    assert list(tmp_path.iterdir()) == []


def test_prepared_data_are_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    assert check_new_output(tmp_path / "p") == tmp_path / "p"
    (tmp_path / "p").mkdir()
    assert check_new_output(tmp_path / "p") == tmp_path / "p"
    prepare(RAW, tmp_path / "p")
    for other in (None, tmp_path / "q"):
        with pytest.raises(DataError, match="p: a prepared data set is already there, so it stays"):
            check_new_output(tmp_path / "p", but=other)
    assert check_new_output(tmp_path / "p", but=tmp_path / "q" / ".." / "p") == tmp_path / "p"


def test_a_folder_that_cannot_be_made_beside_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(DataError, match=r"p: nothing can be written in its folder \(Permission denied\)"):
        prepare(RAW, tmp_path / "p")


@pytest.mark.parametrize("name", ["day2.csv", "train/day2.csv", "mine/a/day2.csv", ".day2.csv", "train/00000/more.npy"])
def test_files_of_others_in_a_prepared_folder_are_not_lost(name: str, tmp_path: Path) -> None:
    output = tmp_path / "p"
    prepare(RAW, output)
    for own in ("report.html", ".report.html.host.1.2.partial"):
        (output / own).touch()
    assert check_output(output) == output
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    (output / name).write_text("years of clicks")
    with pytest.raises(DataError, match=rf"p: holds {name}, which would be lost .*: move what is not part of it"):
        prepare(RAW, output, seed=9)
    assert (output / name).read_text() == "years of clicks"
    with pytest.raises(DataError, match="p: a prepared data set is already there, so it stays"):
        check_new_output(output)
    with pytest.raises(DataError, match=rf"p: holds {name}, which would be lost"):
        check_new_output(output, but=output)
    for number in range(4):
        (output / f"0{number}").touch()
    with pytest.raises(DataError, match=r"p: holds .*, .*, 0\d and more, which would be lost"):
        check_output(output)


def test_a_mount_point_is_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"/proc: is a mount point, .*: name a folder inside it"):
        check_output(Path("/proc"))


@pytest.mark.parametrize("empty", [False, True])
def test_what_a_killed_swap_left_aside_is_not_replaced_unasked(empty: bool, tmp_path: Path) -> None:
    first = prepare(RAW, tmp_path / "p").fingerprint
    (tmp_path / "p").rename(tmp_path / ".p.old")
    (tmp_path / ".p.partial").mkdir()
    if empty:
        (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match="p: a prepared data set is already there, so it stays"):
        check_new_output(tmp_path / "p")
    assert PreparedData.open(tmp_path / "p").fingerprint == first
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert check_new_output(tmp_path / "p", but=tmp_path / "p") == tmp_path / "p"


def test_a_swap_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    prepare(RAW, tmp_path / "p")
    (tmp_path / "p").rename(tmp_path / ".p.old")
    (tmp_path / ".p.partial").mkdir()
    owner = os.open(tmp_path / ".p.partial", os.O_RDONLY)
    fcntl.flock(owner, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is preparing it"):
        check_new_output(tmp_path / "p")
    os.close(owner)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".p.old", ".p.partial"]
