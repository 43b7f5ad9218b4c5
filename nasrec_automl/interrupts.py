"""How a process is told to stop: as Ctrl-C does it, and for sure."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_TERMINATIONS = (signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECONDS = 0.1


def terminate_as_interrupt() -> None:
    """Let a `kill` or a closed terminal do what Ctrl-C does: raise KeyboardInterrupt in the main thread.

    What the process was started to ignore, as with `nohup`, it goes on to ignore.
    """
    for number in _TERMINATIONS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def no_lost_interrupts() -> Iterator[None]:
    """Raise a KeyboardInterrupt again that Python dropped.

    A signal may come while a finaliser or the callback of a weak reference runs, which can raise nothing: Python prints
    "Exception ignored" and goes on, and the process would never stop.
    """
    before, main = sys.unraisablehook, threading.main_thread().ident
    timers: list[threading.Timer] = []

    def again(dropped: UnraisableHookArgs) -> None:
        # One that a shell started in the background ignores SIGINT.
        numbers = (signal.SIGINT, *_TERMINATIONS)
        heard = [number for number in numbers if signal.getsignal(number) is signal.default_int_handler]
        if not issubclass(dropped.exc_type, KeyboardInterrupt) or not heard:
            before(dropped)
            return
        # Later, and from another thread: raised at once, it would be dropped like the first.
        timer = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, heard[0]))
        timer.daemon = True
        timers.append(timer)
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:  # what has ended in the meantime need not be stopped
            timer.cancel()
