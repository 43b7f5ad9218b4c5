"""What all stages have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from nasrec_automl.errors import NasRecError
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.files import write_text
from nasrec_automl.pipeline.progress import counting_time
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.search.database import database_errors
from nasrec_automl.space import load_search_space
from nasrec_automl.training.lightning import check_device

OnMetrics = Callable[[Mapping[str, float]], None]
"""Takes intermediate metrics, such as `{"log_loss": 0.57, "auc": 0.76}`."""


class Stage(ABC):
    """One stage of a job. It reads what the stages before left, and of the job its own section and what all share.

    Of other sections it reads `budget`, and `retrain` where it trains from scratch, as the search's check does.

    A stage that was killed goes on when it is run again, and ends with the same result.

    Attributes:
        name: of the stage.
        parallel: whether several processes may run it at once.
    """

    name: str
    parallel: bool = False

    @abstractmethod
    def units(self, run: RunFolder) -> tuple[int, int]:
        """Units done and units in all, from disk and study."""

    def is_done(self, run: RunFolder) -> bool:
        """Whether nothing is left to do."""
        done, total = self.units(run)
        return done >= total

    def resume_mark(self, run: RunFolder) -> tuple[int, ...]:
        """Counts and times that change when the stage leaves more for a later start; zeros where there is nothing."""
        done, _ = self.units(run)
        return (done,)

    def tidy(self, run: RunFolder) -> None:  # noqa: B027 - most leave nothing
        """Delete what the stage, now done, needs no more: one that was killed at its very end has left it."""

    def warn(self, run: RunFolder) -> None:  # noqa: B027 - most have no reason to
        """Say what a user may want to change before a job is run, or goes on."""

    def devices(self, run: RunFolder) -> int:
        """How many devices of the job's kind it needs."""
        return 1

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """What the stage's outcome depends on, by the job's own names; the folder holds the stage to it."""
        return {}

    def check(self, run: RunFolder) -> None:
        """Compare the job with what the stage has left; nothing is written.

        Raises:
            JobError: the stage was started with other settings.
        """
        with database_errors(run.job.storage_url):
            if run.started(self.name) and not self._left_nothing(run):
                run.claim(self.name, self.settings(run))

    def _left_nothing(self, run: RunFolder) -> bool:
        # Of a parallel stage another process may be about to leave its first unit.
        return not self.parallel and not any(self.resume_mark(run))

    def run(
        self, run: RunFolder, *, count: int | None = None, on_metrics: OnMetrics | None = None, workers: int = 1
    ) -> dict[str, float]:
        """Run the stage, or go on with it; at once when it is done.

        Args:
            run: the run folder.
            count: units that a parallel stage does at most.
            on_metrics: called with intermediate metrics.
            workers: processes that share trainings of a stage that is not parallel, this one included.

        Returns:
            Final metrics, such as `log_loss`; may be empty.

        Raises:
            JobError: the stage was started with other settings, or the job's device is not there.
            StudyError: the database cannot be used.
            SpaceError: there is no such space. All is said before hours of work, not after them.
        """
        with nullcontext() if self.parallel else run.lock(self.name), database_errors(run.job.storage_url):
            load_search_space(run.job.space)
            study_storage(run.job.storage_url)
            check_device(run.job.device, self.devices(run))
            if self._left_nothing(run):  # its settings were those of a start that was stopped at once
                run.disclaim(self.name)
            first = run.claim(self.name, self.settings(run))
            try:
                with counting_time(run.progress(self.name)), _noting_failure(run.failure(self.name)):
                    return self._run(run, count, on_metrics or _ignore, workers)
            except NasRecError:
                if first and self._left_nothing(run):
                    run.disclaim(self.name)
                raise

    @abstractmethod
    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        """Do the work of `run`."""


@contextmanager
def _noting_failure(path: Path) -> Iterator[None]:
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:  # any, also one that nobody foresaw, has ended the stage
        with suppress(OSError):  # such as a full disk: the error itself counts
            write_text(path, str(error) if isinstance(error, NasRecError) else f"{type(error).__name__}: {error}")
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)  # another process of the stage may have failed meanwhile, and was not needed


def _ignore(metrics: Mapping[str, float]) -> None:
    pass
