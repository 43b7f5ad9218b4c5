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

_AGAIN_SECONDS = 0.1


def terminate_as_interrupt() -> None:
    """Let a `kill` or a closed terminal do what Ctrl-C does: raise KeyboardInterrupt in the main thread."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def no_lost_interrupts() -> Iterator[None]:
    """Raise a KeyboardInterrupt again that Python dropped.

    A signal may come while a finaliser or the callback of a weak reference runs, which can raise nothing: Python prints
    "Exception ignored" and goes on, and the process would never stop.
    """
    before, main = sys.unraisablehook, threading.main_thread().ident

    def again(dropped: UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        # Later, and from another thread: raised at once, it would be dropped like the first.
        timer = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
