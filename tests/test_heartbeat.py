import threading
import time

import pytest

from nasrec_automl import heartbeat


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)


def test_beats_while_the_block_runs_and_no_longer() -> None:
    third = threading.Event()
    signs: list[float] = []

    def sign() -> None:
        signs.append(time.monotonic())
        if len(signs) == 3:
            third.set()

    with heartbeat.heartbeat(sign):
        assert third.wait(10)
    given = len(signs)
    time.sleep(0.1)
    assert len(signs) == given


def test_goes_on_after_a_sign_that_failed() -> None:
    second = threading.Event()
    tries: list[int] = []

    def sign() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("the disk is full")
        second.set()

    with heartbeat.heartbeat(sign):
        assert second.wait(10)


def test_an_error_of_the_block_comes_through_and_ends_it() -> None:
    with pytest.raises(KeyError), heartbeat.heartbeat(lambda: None):
        raise KeyError
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_sign_that_takes_long_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_PATIENCE", 0.01)
    begun, released, given = threading.Event(), threading.Event(), threading.Event()

    def sign() -> None:
        begun.set()
        released.wait(5)
        given.set()

    with heartbeat.heartbeat(sign):
        assert begun.wait(10)
    assert not given.is_set()
    released.set()
    assert given.wait(10)
