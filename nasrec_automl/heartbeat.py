"""Signs of life, for other hosts: they cannot look a process up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

INTERVAL = 15.0
"""Seconds between two signs."""

LOST_AFTER = 180.0
"""Seconds without a sign after which a process of another host counts as gone. Hosts' clocks may differ by far less. A
database that is restarted, which stops all signs, is waited for a minute less (`search.database`)."""

_PATIENCE = 2.0
"""Seconds that the end of a block waits for a sign that is just being given: a busy database may take minutes."""


@contextmanager
def heartbeat(sign: Callable[[], object]) -> Iterator[None]:
    """Give signs of life while the block runs; a block that ends before the first is due costs nothing.

    Args:
        sign: gives one, in a thread of its own. Where it fails, the next one may not. One that takes long may come
            after the block has ended, and must do no harm then.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(INTERVAL):
            with suppress(Exception):
                sign()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE)
