from pathlib import Path

import pytest

from nasrec_automl.pipeline import progress
from nasrec_automl.pipeline.progress import Progress, ProgressWriter, read_progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def read(path: Path) -> Progress:
    found = read_progress(path)
    assert found is not None
    return found


def test_a_new_stage_says_at_once_where_it_stands(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    assert read_progress(path) is None
    ProgressWriter(path, stage="search", unit="architectures", total=20, done=3)
    found = read(path)
    assert (found.stage, found.unit, found.done, found.total, found.note) == ("search", "architectures", 3, 20, "")
    assert (found.started, found.updated, found.seconds) == (1000, 1000, 0)
    assert found.rate is None


def test_it_writes_a_few_times_a_second_and_always_at_the_end(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, stage="search", unit="steps", total=10)
    clock.now += 0.1
    writer.update(1)
    assert read(path).done == 0
    clock.now += 0.3
    writer.update(2, "log loss 0.5")
    assert (read(path).done, read(path).note) == (2, "log loss 0.5")
    clock.now += 0.01
    writer.update(10)
    assert read(path).done == 10


def test_the_rate_counts_what_this_process_did(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, stage="search", unit="steps", total=100, done=40)
    clock.now += 5
    writer.update(50)
    assert read(path).rate == 2
    spent = read(path).seconds
    clock.now += 5
    writer.restart(60)
    clock.now += 10
    writer.update(70)
    # Ten units and ten seconds since the work began; all time counts as spent.
    assert read(path).rate == pytest.approx(1)
    assert read(path).seconds == pytest.approx(spent + 15)


def test_time_adds_up_over_starts(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, stage="search", unit="steps", total=100)
    clock.now += 7
    writer.update(10)
    clock.now += 500  # killed; nobody works
    writer = ProgressWriter(path, stage="search", unit="steps", total=100, done=10)
    clock.now += 3
    writer.update(20)
    assert read(path).seconds == 10


def test_no_more_than_all_is_done(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, stage="search", unit="architectures", total=6, done=14)
    assert (read(path).done, read(path).total, read(path).rate) == (6, 6, None)
    clock.now += 1
    writer.update(17)
    assert (read(path).done, read(path).rate) == (6, None)
