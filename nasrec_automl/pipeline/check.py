"""The check of a search's scores: a few trainings from scratch, before the search."""

from __future__ import annotations

import math
from functools import partial

from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.check_trainings import check_folder, drop_kept, keep_teachers, keep_training
from nasrec_automl.pipeline.files import newest
from nasrec_automl.pipeline.outcomes import note_verdict
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import check_teaches
from nasrec_automl.pipeline.studies import study_trials
from nasrec_automl.pipeline.truth import judge_scores, sample_sizes, train_truth
from nasrec_automl.search.task import ENDED
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Verdict


def check_scores(run: RunFolder, evaluator: WeightSharingEvaluator, *, tell: Tell = silent) -> None:
    """Score some architectures and train them from scratch; note how well the scores rank them, and how each did.

    They learn from labels alone, and the best of them may teach the candidates. Trainings are measured on the hpo part:
    the choice part is for the choice of the winner alone. Any number of workers may do so at once; each is back when
    all trainings have ended. Done once, it is not done again.

    Args:
        run: whose supernet is trained.
        evaluator: of the search.
        tell: told what is done, whenever a training has ended, and at its validations.
    """
    config = run.job.search.verdict
    if not config.architectures or run.verdict.is_file():
        return
    teach, architectures = check_teaches(run.job), sample_sizes(run, config.architectures)

    def told(ended: int, step: str) -> None:
        words = f"checks its scores: {ended} of {len(architectures) * config.seeds} trainings from scratch"
        tell(", ".join(filter(None, (words, step))))

    losses = train_truth(
        run,
        "verdict",
        architectures,
        config.seeds,
        (Part.HPO,),
        folder=check_folder(run),
        on_progress=told,
        keep=partial(keep_training, run, most=run.job.retrain.teachers) if teach else None,
    )
    _, ranking = judge_scores(run, evaluator, architectures, losses)
    verdict = Verdict(
        architectures=[architecture.params for architecture in architectures],
        log_losses=[loss if math.isfinite(loss) else None for loss in losses.mean(axis=1).tolist()],
        ranking=ranking,
    )
    if teach:
        designs = {design.key for design in hand_designs(load_search_space(run.job.space)).values()}
        trained = (one.key for one, loss in zip(architectures, verdict.log_losses, strict=True) if loss is not None)
        keep_teachers(run, [key for key in trained if key not in designs])
    note_verdict(run, verdict)
    drop_kept(run)


def resume_mark_of_check(run: RunFolder) -> tuple[int, int]:
    """Of `Stage.resume_mark`: how many of the check's trainings have ended, and when one left its last checkpoint.

    Once there is a verdict, all that were asked for count as ended.
    """
    config = run.job.search.verdict
    if not config.architectures or run.verdict.is_file():
        return config.architectures * config.seeds, 0
    if not run.weights.is_file():
        return 0, 0
    ended = len(study_trials(run, "verdict", ENDED))
    return ended, newest(check_folder(run).glob("*.ckpt"))
