import threading
from pathlib import Path

import pytest

from nasrec_automl import heartbeat
from nasrec_automl.pipeline import progress
from nasrec_automl.pipeline.progress import Progress, ProgressWriter, counting_time, read_progress


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
    path.write_text('{"done": 1}')  # as another version may have it
    assert read_progress(path) is None
    ProgressWriter(path, unit="architectures", total=20, done=3)
    found = read(path)
    assert (found.unit, found.done, found.total, found.note) == ("architectures", 3, 20, "")
    assert (found.started, found.updated, found.seconds) == (1000, 1000, 0)
    assert found.rate is None


def test_what_a_crash_left_says_nothing_and_is_replaced(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "p.json").write_text("")
    assert read_progress(tmp_path / "p.json") is None
    ProgressWriter(tmp_path / "p.json", unit="rows", total=3)
    assert read_progress(tmp_path / "p.json") is not None


def test_it_writes_a_few_times_a_second_and_always_at_the_end(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, unit="steps", total=10)
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
    writer = ProgressWriter(path, unit="steps", total=100, done=40)
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
    writer = ProgressWriter(path, unit="steps", total=100)
    clock.now += 7
    writer.update(10)
    clock.now += 500  # killed; nobody works
    writer = ProgressWriter(path, unit="steps", total=100, done=10)
    clock.now += 3
    writer.update(20)
    assert read(path).seconds == 10


def test_no_more_than_all_is_done(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, unit="architectures", total=6, done=14)
    assert (read(path).done, read(path).total, read(path).rate) == (6, 6, None)
    clock.now += 1
    writer.update(17)
    assert (read(path).done, read(path).rate) == (6, None)


def test_what_is_new_to_note_is_never_left_out(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, unit="steps", total=10)
    writer.update(0, "trains its teachers: 0 of 4")
    assert read(path).note == "trains its teachers: 0 of 4"
    clock.now += 0.1
    writer.update(1, "trains its teachers: 0 of 4")
    assert read(path).done == 0, "nothing new is noted"
    writer.update(1, "")
    assert (read(path).done, read(path).note) == (1, "")


def test_the_rate_is_that_of_the_last_unit_however_much_is_noted_after_it(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, unit="trainings", total=10)
    clock.now += 20
    writer.update(1)
    for step in (10, 20):
        clock.now += 10
        writer.update(1, f"step {step}")
    assert read(path).rate == pytest.approx(1 / 20)
    assert read(path).counted_to(5000).rate == pytest.approx(1 / 20)


def test_units_that_are_unlike_have_no_rate(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    writer = ProgressWriter(path, unit="parts", total=4, even=False)
    clock.now += 2
    writer.update(2)
    assert read(path).rate is None


def test_the_time_of_a_stage_runs_on_between_two_writes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    ProgressWriter(path, unit="steps", total=10)
    clock.now += 5
    later = read(path).counted_to(clock.now)
    assert (later.seconds, later.updated) == (5, 1005)
    assert later.counted_to(1003).seconds == 5, "another host's clock may be behind"


def test_time_counts_until_a_block_ends_however_it_does(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"

    @counting_time(path)
    def stopped() -> None:
        writer = ProgressWriter(path, unit="steps", total=10)
        clock.now += 1
        writer.update(3, "best log loss 0.5")
        clock.now += 60
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    found = read(path)
    assert (found.done, found.note, found.seconds) == (3, "best log loss 0.5", 61)
    clock.now += 500  # nobody works
    with counting_time(path):
        clock.now += 7  # such as for a supernet to be loaded
        assert read(path).seconds == 61
        writer = ProgressWriter(path, unit="steps", total=10, done=3)
        clock.now += 4
        writer.restart(3)
        clock.now += 2
    assert read(path).seconds == 67


def test_a_stage_that_did_nothing_has_no_more_time(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    with counting_time(path):
        pass
    assert not path.exists()
    ProgressWriter(path, unit="steps", total=10)
    clock.now += 1
    with counting_time(path):
        clock.now += 9
    assert read(path).seconds == 0


def test_time_counts_in_signs_of_life_too_so_that_a_kill_loses_little(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)
    path, counted = tmp_path / "progress.json", threading.Event()
    write = progress.write_json

    def watched(where: Path, value: object) -> None:
        write(where, value)
        if threading.current_thread().name == "heartbeat" and read(path).seconds == 60:
            counted.set()

    monkeypatch.setattr(progress, "write_json", watched)
    with counting_time(path):
        ProgressWriter(path, unit="steps", total=10)
        clock.now += 60
        assert counted.wait(10)
        assert read(path).updated == 1060


def test_an_error_of_the_block_is_what_is_raised_where_the_time_cannot_be_noted(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress.json"

    @counting_time(path)
    def fails() -> None:
        ProgressWriter(path, unit="steps", total=10)
        path.write_text("no JSON")
        raise KeyError

    with pytest.raises(KeyError):
        fails()


def test_the_time_of_several_processes_is_counted_once(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    one = ProgressWriter(path, unit="architectures", total=10)
    clock.now += 10
    one.update(1)
    other = ProgressWriter(path, unit="architectures", total=10, done=1)
    for done in (2, 4):
        clock.now += 5
        one.update(done)
        clock.now += 5
        other.update(done + 1)
    assert read(path).seconds == 30


def test_where_hosts_clocks_differ_the_time_between_is_not_counted_again_and_again(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "progress.json"
    ahead = ProgressWriter(path, unit="architectures", total=100)
    behind = ProgressWriter(path, unit="architectures", total=100)
    for done in range(2, 42, 2):
        clock.now += 5
        ahead.update(done)
        clock.now += 5 - 2
        behind.update(done + 1)
        clock.now += 2
    assert read(path).seconds == pytest.approx(200, abs=5)
