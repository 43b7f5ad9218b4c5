import signal
import sys
import time
import weakref
from collections.abc import Iterator

import pytest

from nasrec_automl.interrupts import no_lost_interrupts, terminate_as_interrupt


class Thing:
    """Something that a weak reference can point at."""


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_is_an_interrupt(handlers: None, number: signal.Signals) -> None:
    terminate_as_interrupt()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_an_interrupt_in_a_callback_is_raised_again() -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    start = time.monotonic()
    with no_lost_interrupts():
        del thing
        assert reference() is None  # the first one is lost
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
    assert time.monotonic() - start < 10  # a sleep does not hold it up


def test_other_dropped_errors_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))
    before = sys.unraisablehook

    def fail(_: object) -> None:
        raise ValueError

    thing = Thing()
    reference = weakref.ref(thing, fail)
    with no_lost_interrupts():
        del thing
    assert reference() is None
    assert told == [ValueError]
    assert sys.unraisablehook is before
