"""Signs of life of a trial that runs, for workers on other hosts, which cannot look its process up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from optuna.trial import FrozenTrial

from nasrec_automl.search.ledger import Ledger

INTERVAL = 15.0
"""Seconds between two signs."""


@contextmanager
def heartbeat(ledger: Ledger, trial: FrozenTrial) -> Iterator[None]:
    """Give signs of life while the block runs; one that is done before the first is due costs nothing.

    Args:
        ledger: the study.
        trial: a running trial, which has given its first sign when it was written.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(INTERVAL):
            # The worker itself meets what is wrong with the database, or learns that others have failed its trial.
            with suppress(Exception):
                ledger.show_alive(trial)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
