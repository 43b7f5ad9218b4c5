"""The benchmark's workers: every part once, in order, with a share of the threads."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from tests.benchmarks.parallel import on_each, threads_of


def describe(number: int, delay: float) -> tuple[int, int, int]:
    time.sleep(delay)
    return number, os.getpid(), torch.get_num_threads()


def touch_or_fail(folder: Path, number: int) -> None:
    if number == 0:
        raise ValueError("the first part fails")
    (folder / str(number)).touch()
    time.sleep(0.05)


def test_parts_are_done_in_other_processes_and_come_back_in_order() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    found = on_each(describe, [(0, 0.5), (1, 0.0), (2, 0.0)], workers=2)
    assert [number for number, _, _ in found] == [0, 1, 2]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {threads for _, _, threads in found} == {threads_of(2)}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_one_part_has_its_share_of_threads_too() -> None:
    ((_, process, threads),) = on_each(describe, [(0, 0.0)], workers=2)
    assert process != os.getpid()
    assert threads == threads_of(2)


def test_one_worker_is_this_process() -> None:
    assert on_each(describe, [(0, 0.0)], workers=1) == [(0, os.getpid(), torch.get_num_threads())]


def wait_beside(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = multiprocessing.get_context("spawn").Process(
        target=on_each, args=(wait_beside, [(tmp_path,), (tmp_path,)]), kwargs={"workers": 2}
    )
    parent.start()
    deadline = time.monotonic() + 60
    while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    parent.kill()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_error_ends_what_has_not_begun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the first part fails"):
        on_each(touch_or_fail, [(tmp_path, number) for number in range(200)], workers=2)
    assert len(list(tmp_path.iterdir())) < 100


def wait_or_fail(folder: Path, number: int) -> None:
    if number == 0:
        while not any(folder.iterdir()):
            time.sleep(0.05)
        raise ValueError("the first part fails")
    wait_beside(folder)


@pytest.mark.slow
def test_an_error_ends_what_runs_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the first part fails"):
        on_each(wait_or_fail, [(tmp_path, 0), (tmp_path, 1)], workers=2)
    deadline = time.monotonic() + 30
    while multiprocessing.active_children():
        assert time.monotonic() < deadline
        time.sleep(0.1)
