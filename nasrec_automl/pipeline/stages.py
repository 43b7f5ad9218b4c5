"""The stages in their order, and the job that chains them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

from nasrec_automl.pipeline.base import Stage
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.report import ReportStage
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.pipeline.worker_processes import worker_processes

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (DataStage(), SupernetStage(), SearchStage(), RetrainStage(), FinalStage(), ReportStage())
}


def next_stage(run: RunFolder) -> Stage | None:
    """The first stage that is not done; nothing when all are. `check_stages` says whether they are of this job."""
    return next((stage for stage in STAGES.values() if not stage.is_done(run)), None)


def stages_until(name: str) -> tuple[Stage, ...]:
    """The stages of a job from the first to the one of this name."""
    names = list(STAGES)
    return tuple(STAGES[each] for each in names[: names.index(name) + 1])


def check_stages(run: RunFolder, others: Sequence[Stage] = ()) -> None:
    """Compare the job with the settings that every stage has noted in the folder; nothing is written.

    Args:
        run: the run folder.
        others: stages to check beside those of a job, such as that of `rank`.

    Raises:
        JobError: a stage was started with other settings.
    """
    for stage in {**STAGES, **{stage.name: stage for stage in others}}.values():
        stage.check(run)


def run_job(
    run: RunFolder,
    stages: Sequence[Stage] = tuple(STAGES.values()),
    *,
    workers: int = 1,
    view: AbstractContextManager[None] | None = None,
) -> None:
    """Run every stage that is not done, as the folder's owner.

    Args:
        run: the run folder.
        stages: in their order; the last one may be one that no job has, such as that of `rank`. The settings of all
            stages of a job are checked, also of those that are not to run.
        workers: processes that share the parallel stages, and the trainings of the others, this one included. With
            several, what is proposed depends on whose trials end first.
        view: entered once the job is accepted, and left at the end: one that is refused has nothing to show.
    """
    # The view is left last: until the folder is free, its last look would say that the run is at work.
    with ExitStack() as shown, run.lock():
        # Before the job is noted: one that is refused leaves the folder as it is.
        check_stages(run, stages)
        for stage in stages:
            stage.warn(run)
        if view is not None:
            shown.enter_context(view)
        run.create()
        for stage in stages:
            if stage.is_done(run):
                run.claim(stage.name, stage.settings(run))
                run.failure(stage.name).unlink(missing_ok=True)  # of a job that wanted more
                stage.tidy(run)
            elif stage.parallel:
                with worker_processes(run.job, stage.name, workers):
                    stage.run(run)
            else:
                stage.run(run, workers=workers)
