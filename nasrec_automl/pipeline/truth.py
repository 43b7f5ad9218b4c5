"""Trainings from scratch by labels alone: what scores are compared with, and who teaches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from nasrec_automl.architecture import Architecture
from nasrec_automl.cost import Profile
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.evaluation.sample import one_of_each_size
from nasrec_automl.evaluation.scratch import Trained, measure_subnet
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import (
    default_hyper,
    step_in_words,
    train_by_job,
    trained_profile,
)
from nasrec_automl.pipeline.studies import Trainings, make_study
from nasrec_automl.randomness import rng_for
from nasrec_automl.ranking import FEWEST_RANKED, Ranking, judge_ranking
from nasrec_automl.search import TrialOutcome
from nasrec_automl.search.attributes import KEY, STEP
from nasrec_automl.search.database import patiently
from nasrec_automl.search.ledger import Reached
from nasrec_automl.search.trainings import count_trained, train_each, trained_losses, training_key
from nasrec_automl.space import load_search_space
from nasrec_automl.training.keep_best import OnValidation
from nasrec_automl.training.metrics import Metrics


def sample_sizes(run: RunFolder, count: int) -> list[Architecture]:
    """One architecture of each size, the smallest first; fewer where a small space has one key twice."""
    job = run.job
    schema = PreparedData.open(run.data).schema(job.embedding_dim)
    drawn = one_of_each_size(load_search_space(job.space), schema, count, seed=job.seed)
    return list({architecture.key: architecture for architecture in drawn}.values())


_TRUTH_SEEDS_APART = 1_000_000
"""Between seeds of one architecture: neighbouring runs share none, nor does a run with its final trainings."""

Keep = Callable[[Architecture, Trained], None]
"""`keep(architecture, trained)` is given a training with the job's own seed."""


OnProgress = Callable[[int, str], object]
"""`on_progress(ended, words)` is told how many trainings have ended, and how far the one that goes on has come; there
are no words where none does."""


def train_and_measure(
    run: RunFolder,
    architecture: Architecture,
    seed_offset: int,
    parts: Sequence[Part],
    *,
    checkpoint: Path | None = None,
    keep: Keep | None = None,
    on_validation: OnValidation | None = None,
) -> TrialOutcome:
    """Train an architecture from scratch by labels alone, with the hyper-parameters that such trainings begin with.

    It learns from train and head rows, the hpo part says when it was best, and `parts` are what it is measured on.

    Args:
        run: whose data are prepared.
        architecture: what to train.
        seed_offset: added to the job's seed.
        parts: of validation.
        checkpoint: as in `train_from_scratch`.
        keep: called with what was trained, where that is 0.
        on_validation: as in `train_by_job`.

    Returns:
        Its value is the log loss on `parts`, in nats.

    Raises:
        DivergedError: the training diverged.
    """
    hyper = default_hyper(run.job, taught=False)
    trained = train_by_job(run, architecture, hyper, on_validation, checkpoint=checkpoint, seed_offset=seed_offset)
    if keep is not None and seed_offset == 0:
        keep(architecture, trained)
    metrics = measure_subnet(trained.subnet.to(run.job.device), PreparedData.open(run.data).part(*parts))
    return TrialOutcome(value=metrics.log_loss, attrs={"auc": metrics.auc, STEP: trained.step})


def trained_profiles(run: RunFolder, architectures: Sequence[Architecture]) -> list[Profile]:
    """What the networks cost that these trainings train."""
    data, hyper = PreparedData.open(run.data), default_hyper(run.job, taught=False)
    return [trained_profile(run.job, data, architecture, hyper) for architecture in architectures]


def judge_scores(
    run: RunFolder,
    evaluator: WeightSharingEvaluator,
    architectures: Sequence[Architecture],
    losses: NDArray[np.float64],
    steps: NDArray[np.float64] | None = None,
) -> tuple[dict[int, Score], Ranking | None]:
    """Score architectures, and compare the scores with trainings from scratch.

    Args:
        run: whose trainings they are.
        evaluator: of its supernet.
        architectures: what was trained.
        losses: log losses `(architectures, seeds)`, of `train_truth`.
        steps: how often the weights of each were trained, as in `judge_ranking`.

    Returns:
        By their places, the scores of those that were trained well with every seed and whose score is a finite number;
        and how well these scores rank, None where there are fewer than `FEWEST_RANKED`.
    """
    well = [place for place in range(len(architectures)) if np.isfinite(losses[place]).all()]
    scores = {place: evaluator.evaluate(architectures[place]) for place in well}
    scores = {place: score for place, score in scores.items() if math.isfinite(score.log_loss)}
    if len(scores) < FEWEST_RANKED:
        return scores, None
    places = [*scores]
    ranking = judge_ranking(
        [score.log_loss for score in scores.values()],
        losses[places],
        [cost.parameters for cost in trained_profiles(run, [architectures[place] for place in places])],
        None if steps is None else steps[places],
        seed=run.job.seed,
    )
    return scores, ranking


def train_truth(
    run: RunFolder,
    kind: Trainings,
    architectures: Sequence[Architecture],
    seeds: int,
    parts: Sequence[Part],
    *,
    folder: Path,
    on_progress: OnProgress | None = None,
    keep: Keep | None = None,
) -> NDArray[np.float64]:
    """Train by labels alone what the study of these trainings does not have yet.

    Args:
        run: whose data are prepared.
        kind: what the trainings are for, which names their study.
        architectures: what to train.
        seeds: of each.
        parts: that they are measured on.
        folder: for their checkpoints, from which a training that was killed goes on.
        on_progress: told at each validation, and after each training.
        keep: as in `train_and_measure`.

    Returns:
        Log losses `(architectures, seeds)`; NaN where a training diverged or failed too often.
    """
    study, storage = make_study(run, kind), study_storage(run.job.storage_url)
    # Not by size: at any time those that are trained have all sizes.
    order = rng_for("order of trainings", run.job.seed).permutation(len(architectures))
    hyper = default_hyper(run.job, taught=False)

    def checkpoint(key: str) -> Path:
        # The study's name says how it trains: what was begun with other settings is no start for this one.
        return folder / f"{study.study_name}-{key}.ckpt"

    def train(architecture: Architecture, seed: int, reached: Reached) -> TrialOutcome:
        offset = seed * _TRUTH_SEEDS_APART

        def validated(step: int, metrics: Metrics) -> None:
            reached(step, metrics.log_loss)
            told(step_in_words(run, hyper, step))

        return train_and_measure(
            run,
            architecture,
            offset,
            parts,
            checkpoint=checkpoint(training_key(architecture, seed)),
            keep=keep,
            on_validation=validated,
        )

    def told(words: str) -> None:
        if on_progress is not None:
            ended = patiently(storage, lambda: count_trained(study, architectures, seeds))  # others may train too
            on_progress(ended, words)

    def on_trial(trial: FrozenTrial) -> None:
        checkpoint(trial.user_attrs[KEY]).unlink(missing_ok=True)  # not before the study has the outcome
        told("")

    train_each(
        study,
        load_search_space(run.job.space),
        [architectures[i] for i in order],
        seeds,
        train,
        storage=storage,
        on_trial=on_trial,
    )
    return trained_losses(study, architectures, seeds)
