"""What a stage says of its progress: one small file, so that any process can show it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nasrec_automl.pipeline.files import read_json, write_json

_INTERVAL = 0.3


class Progress(BaseModel):
    """The progress of one stage.

    Attributes:
        stage: its name.
        done: units done.
        total: units in all.
        unit: what is counted.
        note: the latest figures, for people.
        started: when this process started, in seconds since the epoch.
        done_at_start: units that were done then.
        updated: when this was written.
        seconds: time spent, over all starts.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    done: int
    total: int
    unit: str
    note: str = ""
    started: float
    done_at_start: int = 0
    updated: float
    seconds: float

    @property
    def rate(self) -> float | None:
        """Units a second since this process started."""
        elapsed = self.updated - self.started
        return (self.done - self.done_at_start) / elapsed if elapsed > 0 and self.done > self.done_at_start else None


class ProgressWriter:
    """Writes a stage's progress file, at most a few times a second.

    Args:
        path: of the file.
        stage: name of the stage.
        unit: what is counted.
        total: units in all.
        done: units that are done already.
    """

    def __init__(self, path: Path, *, stage: str, unit: str, total: int, done: int = 0) -> None:
        self.path = path
        before = read_progress(path)
        self._spent_before = 0.0 if before is None else before.seconds
        now = time.time()
        self._fixed: dict[str, Any] = {"stage": stage, "unit": unit, "started": now, "done_at_start": done}
        self._total = total
        self._last = 0.0
        self.update(done)

    def restart(self, done: int) -> None:
        """Say that the work begins now, and how many units were done before: the rate leaves both out."""
        now = time.time()
        self._spent_before += now - self._fixed["started"]
        self._fixed |= {"started": now, "done_at_start": done}
        self._last = 0.0
        self.update(done)

    def update(self, done: int, note: str = "", *, ended: bool = False) -> None:
        """Say how many units are done; of a total that is smaller than before, or that others exceed, all.

        Args:
            done: units.
            note: the latest figures.
            ended: there will be no more, of whatever total.
        """
        done = min(done, self._total)
        now = time.time()
        if now - self._last < _INTERVAL and done < self._total and not ended:
            return
        self._last = now
        spent = self._spent_before + now - self._fixed["started"]
        write_json(
            self.path,
            Progress(**self._fixed, done=done, total=self._total, note=note, updated=now, seconds=spent).model_dump(),
        )


def read_progress(path: Path) -> Progress | None:
    """Read a progress file; nothing where there is none."""
    content = read_json(path)
    return None if content is None else Progress.model_validate(content)
