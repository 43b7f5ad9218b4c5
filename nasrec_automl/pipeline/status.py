"""What a run is doing, read from its folder alone: quick, and without disturbing it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from nasrec_automl.data.description import is_prepared
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError
from nasrec_automl.heartbeat import INTERVAL
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.outcomes import FinalOutcome, RetrainOutcome, SearchOutcome
from nasrec_automl.pipeline.progress import Progress, read_progress
from nasrec_automl.pipeline.run_folder import RunFolder

STAGE_NAMES = ("data", "supernet", "search", "retrain", "final", "report")
TUNE_TRUTH = "tune-truth"
TUNE_NAMES = ("data", TUNE_TRUTH, "tune")
"""What `tune-supernet` does: prepare the data where they are not, trainings from scratch, then supernets."""

RANK_NAMES = ("data", "supernet", "rank")
"""What `rank` does: data and supernet where they are not there, then trainings from scratch."""

_APART = {"tune", "rank"}
"""Stages of no job's chain, which stands still while one of them runs."""

State = Literal["done", "running", "interrupted", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage of a run.

    Attributes:
        name: of the stage.
        state: done; running; interrupted, so that running the job again goes on with it; failed; or waiting.
        waits_for: the stage that has to be done before, where it waits.
        progress: what it said last; while it runs, with the time since.
        error: why it failed.
    """

    name: str
    state: State
    waits_for: str | None
    progress: Progress | None
    error: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON values."""
        progress = None if self.progress is None else self.progress.model_dump()
        own = {"name": self.name, "state": self.state, "waits_for": self.waits_for, "error": self.error}
        return {**own, "progress": progress}


def search_is_noted(run: RunFolder) -> bool:
    """Whether the best of the search are noted: of as many architectures as the job asks for, inside its budget."""
    noted, config = SearchOutcome.read(run.top), run.job.search
    if noted is None or (noted.target, noted.budget) != (config.architectures, run.noted_budget):
        return False
    return noted.scored >= noted.target or noted.timeout == config.timeout


def retrain_outcome(run: RunFolder) -> RetrainOutcome | None:
    """What the retrain stage noted at its end; nothing where that was of other candidates than those of now."""
    noted, searched = RetrainOutcome.read(run.retrain_done), SearchOutcome.read(run.top)
    return None if noted is None or (searched is not None and searched.retrain != noted.study) else noted


def retrain_is_noted(run: RunFolder) -> bool:
    """Whether the retrain stage noted its end: of as many trainings as the job asks for, or as it has time for."""
    noted, config = retrain_outcome(run), run.job.retrain
    # A small number of trials grows to one for each candidate.
    if noted is None or noted.target < config.trials:
        return False
    return noted.trainings >= noted.target or noted.timeout == config.timeout


def final_is_noted(run: RunFolder) -> bool:
    """Whether there is a result, of the trainings that the retrain stage ended with last."""
    final, noted = FinalOutcome.read(run.final), retrain_outcome(run)
    if final is None or noted is None or not run.result.is_file():
        return False
    return (final.retrain.study, final.retrain.trainings) == (noted.study, noted.trainings)


def result_is_noted(run: RunFolder) -> bool:
    """Whether there is a result, and search and retrain stage have no more to do than when it was written."""
    return search_is_noted(run) and retrain_is_noted(run) and final_is_noted(run)


def check_has_result(run: RunFolder) -> None:
    """Raise RunFolderError where a run has no result, or more to do since."""
    if not result_is_noted(run):
        missing = "has more to do since its result" if run.result.is_file() else "has no result yet"
        raise RunFolderError(f"{run.path}: the run {missing}; `{run.status_command}` says what is left")


def report_is_noted(run: RunFolder) -> bool:
    """Whether there is a report of this result and of the search as it is."""
    if not run.report.is_file() or not final_is_noted(run):
        return False
    with suppress(FileNotFoundError):
        return run.reported.read_text() == reported_digest(run)
    return False


def reported_digest(run: RunFolder) -> str:
    """Digest of the result, and of what the search handed on: a copy of the folder may have other times."""
    return digest("".join(path.read_text() for path in (run.result, run.top) if path.is_file()))


def is_at_work(run: RunFolder) -> bool:
    """Whether a living process is at the job's stages, or about to be."""
    owned = run.in_use()
    return not owned <= {"run", *_APART} or ("run" in owned and not owned & _APART)


def run_status(run: RunFolder) -> list[StageStatus]:
    """The status of every stage, in order."""
    done = (
        is_prepared(run.data),
        run.weights.is_file(),
        search_is_noted(run),
        retrain_is_noted(run),
        final_is_noted(run),
        report_is_noted(run),
    )
    return _in_order(run, dict(zip(STAGE_NAMES, done, strict=True)), is_at_work(run))


def earlier_result(run: RunFolder) -> str | None:
    """Say that the result of an earlier end of the run is still there, where the run has more to do; else nothing."""
    result = read_json(run.result)
    if result is None or all(status.state == "done" for status in run_status(run) if status.name != "report"):
        return None
    test = result["test"]
    where = f"{run.result} and {run.best}" if run.final.is_file() else str(run.result)
    return (
        f"An earlier result is still there: on test a log loss of {test['log_loss']:.4f} and an AUC of "
        f"{test['auc']:.4f}, in {where}"
    )


def tune_status(run: RunFolder) -> list[StageStatus]:
    """The status of all parts of `tune-supernet`, which is no stage of a job."""
    return _by_progress(run, TUNE_NAMES, {"data": is_prepared(run.data)})


def rank_status(run: RunFolder) -> list[StageStatus]:
    """The status of all parts of `rank`, which is no stage of a job."""
    return _by_progress(run, RANK_NAMES, {"data": is_prepared(run.data), "supernet": run.weights.is_file()})


def _by_progress(run: RunFolder, names: Sequence[str], known: Mapping[str, bool]) -> list[StageStatus]:
    """The status of what is done in this order: by what is known, and else by what each says of its progress."""
    found = {name: read_progress(run.progress(name)) for name in names}
    done = {name: one is not None and one.done >= one.total for name, one in found.items()}
    return _in_order(run, {**done, **known}, bool(run.in_use()))


def _in_order(run: RunFolder, done: Mapping[str, bool], at_work: bool) -> list[StageStatus]:
    """The status of what waits for what stands before it, by whether each is done and somebody is at the next."""
    found: list[StageStatus] = []
    before: str | None = None
    for name, is_done in done.items():
        progress = read_progress(run.progress(name))
        if before is not None:
            found.append(StageStatus(name, "waiting", before, None))
        elif is_done:
            found.append(StageStatus(name, "done", None, progress))
        else:
            error = None if at_work else _failure(run, name)
            stopped: State = "failed" if error else "interrupted" if progress else "waiting"
            state: State = "running" if at_work else stopped
            if at_work and progress is not None:
                # No longer than from one sign of life to the next: what an earlier start wrote is older.
                progress = progress.counted_to(min(time.time(), progress.updated + INTERVAL))
            found.append(StageStatus(name, state, None, progress, error))
            before = name
    return found


def _failure(run: RunFolder, stage: str) -> str | None:
    with suppress(FileNotFoundError):
        return run.failure(stage).read_text(encoding="utf-8") or None
    return None
