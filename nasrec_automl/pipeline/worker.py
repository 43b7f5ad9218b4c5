"""A worker beside the process that owns a run: it shares the stages that any number of processes may run at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from optuna.trial import TrialState

from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.base import Stage
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.stages import check_stages
from nasrec_automl.pipeline.status import is_at_work
from nasrec_automl.pipeline.studies import Kind, study_trials
from nasrec_automl.search.attributes import WORKER
from nasrec_automl.search.database import database_errors
from nasrec_automl.search.stale import process_of, worker_id
from nasrec_automl.search.task import ENDED

_POLL = 1.0

_SHARED: tuple[tuple[Kind, Stage, Collection[TrialState]], ...] = (
    ("search", SearchStage(), {TrialState.COMPLETE}),  # what has no finite score does not count
    ("retrain", RetrainStage(), ENDED),
)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a worker has done.

    Attributes:
        architectures: that it scored.
        trainings: that it finished.
    """

    architectures: int
    trainings: int


def share_work(run: RunFolder, *, count: int | None = None, on_wait: Callable[[str], None] | None = None) -> Shared:
    """Score architectures and train candidates until both studies have what the job asks for.

    Any number of processes, on any machine that sees the run folder and the database, may do so beside the run's owner,
    or without one. No lock is taken. An owner's job counts, not one that was edited since: the owner could not go on
    with a stage that was claimed here with other settings.

    Args:
        run: the run.
        count: trials to finish at most, of both studies together.
        on_wait: called with what is waited for, where the supernet is still being trained.

    Raises:
        RunFolderError: the supernet is not trained, and nobody is at it.
        JobError: the job is not the one that the folder's stages were started with.
        NasRecError: another error that the user can mend.
    """
    check_stages(run)
    _wait_for_supernet(run, on_wait)
    check_stages(run)  # again: a supernet before its first checkpoint tells nothing
    if "run" in run.in_use():  # its owner has noted its job
        run = RunFolder.open(run.path)
    done = {"search": 0, "retrain": 0}
    with run.at_work(), database_errors(run.job.storage_url):
        for kind, stage, states in _SHARED:
            left = None if count is None else count - sum(done.values())
            if left == 0 or stage.is_done(run):
                continue
            before = _finished_here(run, kind, states)
            stage.run(run, count=left)
            done[kind] = _finished_here(run, kind, states) - before
            if not stage.is_done(run):
                break
    return Shared(architectures=done["search"], trainings=done["retrain"])


def _wait_for_supernet(run: RunFolder, on_wait: Callable[[str], None] | None) -> None:
    told = False
    while not run.weights.is_file():
        if not is_at_work(run):
            raise RunFolderError(
                f"{run.path}: the supernet is not trained, and nobody trains it; start `nasrec-automl run JOB` and "
                "then this worker again"
            )
        if not told and on_wait is not None:
            on_wait("the supernet")
            told = True
        time.sleep(_POLL)


def _finished_here(run: RunFolder, kind: Kind, states: Collection[TrialState]) -> int:
    me = process_of(worker_id())
    trials = study_trials(run, kind, states)
    return sum(process_of(str(trial.user_attrs.get(WORKER))) == me for trial in trials)
