import signal
import sys
import time
import weakref
from collections.abc import Iterator

import pytest

from nasrec_automl import interrupts
from nasrec_automl.interrupts import no_lost_interrupts, terminate_as_interrupt


class Thing:
    """Something that a weak reference can point at."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own, whatever these tests were started with; those of before come back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in numbers[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_is_an_interrupt(number: signal.Signals) -> None:
    terminate_as_interrupt()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminate_as_interrupt()
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_callback_is_raised_again(number: signal.Signals) -> None:
    if number == signal.SIGTERM:  # as in a shell's background
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate_as_interrupt()
    lost = []

    def work() -> None:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
        del thing
        lost.append(reference() is None)
        time.sleep(20)

    start = time.monotonic()
    with no_lost_interrupts(), pytest.raises(KeyboardInterrupt):
        work()
    assert lost == [True]
    assert time.monotonic() - start < 10  # a sleep does not hold it up


def test_an_interrupt_comes_no_more_when_the_work_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_AGAIN_SECONDS", 1.0)
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    with no_lost_interrupts():
        del thing
        assert reference() is None
    try:
        time.sleep(1.5)
    except KeyboardInterrupt:
        pytest.fail("an interrupt came after the work had ended")


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
