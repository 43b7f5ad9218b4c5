"""Stage `rank`, which no other needs: how well the supernet's scores rank architectures."""

from __future__ import annotations

import logging
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import StudyError
from nasrec_automl.evaluation.trained_steps import trained_steps
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.evaluator import make_evaluator, score_rows
from nasrec_automl.pipeline.files import read_json, write_json, write_text
from nasrec_automl.pipeline.outcomes import of_this_version
from nasrec_automl.pipeline.progress import ProgressWriter, read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.settings import training_settings
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.studies import found_study
from nasrec_automl.pipeline.supernet import SupernetStage, kept_steps
from nasrec_automl.pipeline.supernet_training import path_schedule
from nasrec_automl.pipeline.truth import OnProgress, judge_scores, sample_sizes, train_truth, trained_profiles
from nasrec_automl.pipeline.worker_processes import worker_processes
from nasrec_automl.ranking import FEWEST_RANKED, Ranking
from nasrec_automl.report.content import JudgedArchitecture, RankContent
from nasrec_automl.report.rank_page import render_rank
from nasrec_automl.search.scoring import UNSCORED_ADVICE
from nasrec_automl.search.trainings import count_trained

_logger = logging.getLogger(__name__)

MEASURED = (Part.HPO, Part.CHOICE)
"""What trainings are measured on: no gradient and no score has seen these rows."""


class RankStage(Stage):
    """Scores architectures of all sizes, trains each from scratch with several seeds, and compares the two orders.

    It belongs to no job's chain and changes nothing of it. The trainings are kept in a study: more of them are done
    later without those that are there. What several workers end with is the same.
    """

    name = "rank"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Ended trainings and the job's number of them."""
        config = run.job.rank
        architectures, study = sample_sizes(run, config.architectures), found_study(run, "rank")
        done = 0 if study is None else count_trained(study, architectures, config.seeds)
        return done, len(architectures) * config.seeds

    def is_done(self, run: RunFolder) -> bool:
        """Never: the comparison is quick, and its scores may be others now."""
        return False

    def _left_nothing(self, run: RunFolder) -> bool:
        progress = read_progress(run.progress(self.name))
        return (progress is None or not progress.done) and not any(_folder(run).glob("*"))

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """What the trainings depend on; how many there are may change."""
        supernet = {k: v for k, v in SupernetStage().settings(run).items() if not k.startswith("supernet.")}
        return {**supernet, **training_settings(run)}

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        config = run.job.rank
        done, total = self.units(run)
        workers = min(workers, total - done)
        done = min(done, total - 1)  # the comparison is still to come
        progress = ProgressWriter(run.progress(self.name), unit="trainings", total=total, done=done)
        architectures = sample_sizes(run, config.architectures)

        with worker_processes(run.job, self.name, workers):
            losses = train_ranked(run, on_progress=lambda ended, words: progress.update(min(ended, total - 1), words))
        shutil.rmtree(_folder(run), ignore_errors=True)  # checkpoints of trainings that failed too often
        # A supernet that went on from another run's has steps that this run's seed knows nothing of.
        steps = None if run.job.continues else trained_steps(architectures, path_schedule(run), kept_steps(run))
        scores, ranking = judge_scores(run, make_evaluator(run), architectures, losses, steps)
        if ranking is None:
            raise StudyError(
                f"{len(scores)} of {len(architectures)} architectures were trained well with every seed and have a "
                f"finite score, and a rank needs {FEWEST_RANKED}: raise rank.architectures; where trainings diverge, "
                "lower the default of retrain.space.learning_rate in another run_folder; where scores are missing, "
                f"{UNSCORED_ADVICE}"
            )
        left_out = len(architectures) - len(scores)
        if left_out:
            _logger.warning(
                "%d of %d architectures are left out: a training of them diverged or failed, or they have no finite "
                "score",
                left_out,
                len(architectures),
            )
        costs = trained_profiles(run, architectures)
        points = [
            JudgedArchitecture(
                key=architectures[place].key,
                params=dict(architectures[place].params),
                score=score.log_loss,
                standard_error=score.standard_error,
                losses=tuple(map(float, losses[place])),
                parameters=costs[place].parameters,
                macs=costs[place].macs,
                trained_steps=None if steps is None else float(steps[place]),
            )
            for place, score in scores.items()
        ]
        content = {
            "ranking": ranking.to_plain(),
            "left_out": left_out,
            "architectures": [asdict(point) for point in points],
        }
        write_json(run.rank, {"dataset": PreparedData.open(run.data).name, **content})
        write_text(run.rank_report, render_rank(rank_content(run)))
        progress.update(total, ranking.tau_in_words)
        return {"tau": ranking.tau.value}


def train_ranked(run: RunFolder, *, on_progress: OnProgress | None = None) -> NDArray[np.float64]:
    """Train what the study does not have yet; any number of processes may, and each is back when all have ended.

    Args:
        run: whose data are prepared.
        on_progress: told how many trainings have ended, and how far the next one has come.

    Returns:
        Log losses `(architectures, seeds)`, as `train_truth`.
    """
    config = run.job.rank
    architectures = sample_sizes(run, config.architectures)
    return train_truth(run, "rank", architectures, config.seeds, MEASURED, folder=_folder(run), on_progress=on_progress)


def rank_scores(run: RunFolder, *, workers: int = 1, view: AbstractContextManager[None] | None = None) -> None:
    """Prepare data and train the supernet of a job where that is not done, and run the stage, as the folder's owner.

    Args:
        run: the run folder.
        workers: processes that share the trainings, this one included.
        view: entered once the job is accepted.
    """
    run_job(run, (DataStage(), SupernetStage(), RankStage()), workers=workers, view=view)


def _folder(run: RunFolder) -> Path:
    """Checkpoints of trainings that have not ended."""
    return run.path / "rank"


def rank_content(run: RunFolder) -> RankContent:
    """What the stage found, from disk.

    Raises:
        RunFolderError: another version wrote it.
    """
    found, data = read_json(run.rank), PreparedData.open(run.data)
    with of_this_version(run.rank):
        return RankContent(
            title=run.job.name,
            dataset=found["dataset"],
            ranking=Ranking.from_plain(found["ranking"]),
            architectures=[JudgedArchitecture(**one) for one in found["architectures"]],
            score_rows=score_rows(run),
            truth_rows=data.rows(*MEASURED),
            left_out=found["left_out"],
        )
