"""What a stage says of its progress: one small file, so that any process can show it."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nasrec_automl.errors import RunFolderError
from nasrec_automl.heartbeat import heartbeat
from nasrec_automl.pipeline.files import read_json, write_json

Tell = Callable[[str], object]
"""Is told in words how far some work has come, such as at each validation of a training."""

_INTERVAL = 0.3

_writing = threading.Lock()


def silent(words: str) -> None:
    """A `Tell` that passes nothing on."""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other threads and processes from writing a file that is read and written anew: what they said would be lost.

    A file system without locks is no reason to stop: then a note may be lost.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _writing, path.with_name(f".{path.name}.lock").open("a") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Progress(BaseModel):
    """The progress of one stage.

    Attributes:
        done: units done.
        total: units in all.
        unit: what is counted.
        note: the latest figures, for people.
        started: when this process began with the first unit of its own, in seconds since the epoch.
        done_at_start: units that were done then.
        reached: when the last of the units done was.
        even: whether units take equally long, so that there is a rate of them.
        updated: until when `seconds` counts.
        seconds: time spent, over all starts.
    """

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    unit: str
    note: str = ""
    started: float
    done_at_start: int = 0
    reached: float
    even: bool = True
    updated: float
    seconds: float

    @property
    def rate(self) -> float | None:
        """Units a second, from when this process began with them to the last."""
        elapsed = self.reached - self.started
        done = self.done - self.done_at_start
        return done / elapsed if self.even and elapsed > 0 and done > 0 else None

    def counted_to(self, now: float) -> Progress:
        """The same with the time spent since, at which somebody was at work."""
        now = max(now, self.updated)  # hosts' clocks may differ
        return self.model_copy(update={"updated": now, "seconds": self.seconds + now - self.updated})


class ProgressWriter:
    """Writes a stage's progress file: at most a few times a second, and whenever there is something new to note.

    Args:
        path: of the file.
        unit: what is counted.
        total: units in all.
        done: units that are done already.
        even: whether units take equally long.
    """

    def __init__(self, path: Path, *, unit: str, total: int, done: int = 0, even: bool = True) -> None:
        self.path = path
        now = self._began = time.time()
        self._fixed: dict[str, Any] = {
            "unit": unit,
            "even": even,
            "started": now,
            "done_at_start": done,
        }
        self._total = total
        self._done, self._reached = done, now
        self._last, self._note = 0.0, ""
        self.update(done)

    def restart(self, done: int) -> None:
        """Say that the work begins now, and how many units were done before: the rate leaves both out."""
        now = time.time()
        self._fixed |= {"started": now, "done_at_start": done}
        self._done, self._reached = done, now
        self._last = 0.0
        self.update(done)

    def update(self, done: int, note: str = "", *, ended: bool = False) -> None:
        """Say how many units are done.

        Args:
            done: units; more than the total count as the total.
            note: the latest figures. They are to be told rarely, such as at each validation: no new one is left out.
            ended: there will be no more, of whatever total.
        """
        done = min(done, self._total)
        now = time.time()
        if done != self._done:
            self._done, self._reached = done, now
        if now - self._last < _INTERVAL and note == self._note and done < self._total and not ended:
            return
        self._last, self._note = now, note
        with _alone(self.path):
            before = read_progress(self.path)
            # The last to write may be another process, whose host's clock may differ, or an earlier start, after which
            # nobody worked.
            at = now if before is None else max(now, before.updated)
            progress = Progress(
                **self._fixed,
                done=done,
                total=self._total,
                note=note,
                reached=self._reached,
                updated=at,
                seconds=0 if before is None else before.seconds + max(0, at - max(before.updated, self._began)),
            )
            write_json(self.path, progress.model_dump())


@contextmanager
def counting_time(path: Path) -> Iterator[None]:
    """Count a stage's time until the block ends, however it does; killed, all but the last seconds.

    Args:
        path: of the file that a `ProgressWriter` writes in the block. Of several processes that do so any one counts.
    """
    begun = time.time()

    def count() -> None:
        with _alone(path):
            found = read_progress(path)
            if found is not None and found.updated >= begun:  # what an earlier start wrote ended with it
                write_json(path, found.counted_to(time.time()).model_dump())

    try:
        with heartbeat(count):
            yield
    finally:
        with suppress(Exception):  # how the block ended counts
            count()


def read_progress(path: Path) -> Progress | None:
    """Read a progress file; nothing where there is none that is whole."""
    with suppress(RunFolderError, ValidationError):  # the latter of another version's
        content = read_json(path)
        return None if content is None else Progress.model_validate(content)
    return None
