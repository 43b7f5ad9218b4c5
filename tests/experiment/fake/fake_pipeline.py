"""A pipeline whose stages only sleep and note in files what they did: for experiments under the real `nnictl`."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nasrec_automl.errors import DataError, JobError
from nasrec_automl.pipeline.run_folder import RunFolder


class FakeStage:
    def __init__(self, name: str, total: int, parallel: bool) -> None:
        self.name = name
        self.total = total
        self.parallel = parallel

    def units(self, run: RunFolder) -> tuple[int, int]:
        return len(self.done(run)), self.total

    def is_done(self, run: RunFolder) -> bool:
        return len(self.done(run)) >= self.total

    def resume_mark(self, run: RunFolder) -> tuple[int, int]:
        return len(self.done(run)), len(list(run.path.glob(f"checkpoint-{self.name}-*")))

    def check(self, run: RunFolder) -> None:
        wrong = run.path / f"wrong-{self.name}"
        if wrong.exists():
            raise JobError(wrong.read_text())

    def warn(self, run: RunFolder) -> None:
        if (run.path / f"doubtful-{self.name}").exists():
            logging.getLogger("nasrec_automl").warning("%s may be wrong", self.name)

    def tidy(self, run: RunFolder) -> None:
        for left in run.path.glob(f"checkpoint-{self.name}-*"):
            left.unlink()

    def done(self, run: RunFolder) -> list[Path]:
        return sorted((run.path / "units").glob(f"{self.name}-*"))

    def held(self, run: RunFolder) -> bool:
        """Whether the test wants no more units, so that it can end the trial before its end."""
        try:
            most = int((run.path / f"hold-{self.name}").read_text())
        except FileNotFoundError:
            return False
        return len(self.done(run)) >= most

    def run(
        self,
        run: RunFolder,
        *,
        count: int | None = None,
        on_metrics: Callable[[Mapping[str, float]], None] | None = None,
        workers: int = 1,
    ) -> dict[str, float]:
        (run.path / "units").mkdir(parents=True, exist_ok=True)
        with (run.path / "runs.txt").open("a") as log:
            log.write(json.dumps([self.name, count, os.getpid()]) + "\n")
        fail = run.path / f"fail-{self.name}"
        if fail.exists():
            raise DataError(fail.read_text())
        for _ in range(self.total if count is None else count):
            if len(self.done(run)) >= self.total:
                break
            while self.held(run):
                time.sleep(0.05)
            time.sleep(run.job.data.options.get("seconds", 0.1))
            (run.path / "units" / f"{self.name}-{time.monotonic_ns()}").touch()
            if on_metrics is not None:
                on_metrics({"log_loss": 0.5, "auc": 0.75})
        return {"log_loss": 0.5, "auc": 0.75} if self.name not in ("data", "report") else {}


STAGES = {
    name: FakeStage(name, total, parallel)
    for name, total, parallel in (
        ("data", 1, False),
        ("supernet", 1, False),
        ("search", 10, True),
        ("retrain", 3, True),
        ("final", 1, False),
        ("report", 1, False),
    )
}
