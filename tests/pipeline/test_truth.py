"""Trainings that scores are compared with."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from scipy.stats import kendalltau

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.hyper_space import HyperSpace
from nasrec_automl.pipeline import truth
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.final_training import FINAL_SEEDS_APART
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, train_by_job
from nasrec_automl.pipeline.studies import make_study
from nasrec_automl.pipeline.truth import (
    judge_scores,
    sample_sizes,
    train_and_measure,
    train_truth,
    trained_profiles,
)
from nasrec_automl.search import Hyper, TrialOutcome
from nasrec_automl.search.hyper import default_params
from nasrec_automl.search.ledger import Ledger
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps


def test_sizes_are_those_of_the_networks_that_are_trained(finished_run: RunFolder) -> None:
    retrain = finished_run.job.retrain
    space = {**retrain.space.model_dump(), "embedding_dim": [4], "table_cap": [3], "layer_norm": [True]}
    update = {"retrain": retrain.model_copy(update={"space": HyperSpace.model_validate(space)})}
    run = replace(finished_run, job=finished_run.job.model_copy(update=update))
    architecture = sample_sizes(run, 3)[2]
    subnet = train_by_job(run, architecture, default_hyper(run.job, taught=False), lambda step, metrics: False).subnet
    (found,) = trained_profiles(run, [architecture])
    assert found.parameters == sum(weight.numel() for weight in subnet.parameters())
    (other,) = trained_profiles(finished_run, [architecture])
    assert found.parameters != other.parameters


def test_no_key_is_drawn_twice_and_a_run_draws_the_same(finished_run: RunFolder) -> None:
    drawn = sample_sizes(finished_run, 40)
    assert len({one.key for one in drawn}) == len(drawn)
    assert drawn == sample_sizes(finished_run, 40)
    other = replace(finished_run, job=finished_run.job.model_copy(update={"seed": 6}))
    assert drawn != sample_sizes(other, 40)


def test_it_is_a_training_by_labels_alone_measured_on_the_parts_asked_for(finished_run: RunFolder) -> None:
    architecture, space = sample_sizes(finished_run, 3)[1], finished_run.job.retrain.space
    found = train_and_measure(finished_run, architecture, 0, (Part.HPO, Part.CHOICE))
    hyper = Hyper.of(default_params("", space, taught=False), space)
    trained = train_by_job(finished_run, architecture, hyper, lambda step, metrics: False)
    data = PreparedData.open(finished_run.data)
    assert found.value == measure_subnet(trained.subnet, data.part(Part.HPO, Part.CHOICE)).log_loss
    assert found.attrs["step"] == trained.step
    on_hpo = train_and_measure(finished_run, architecture, 0, (Part.HPO,))
    assert on_hpo.value == pytest.approx(trained.metrics.log_loss), "the best validation's weights are kept"
    assert train_and_measure(finished_run, architecture, 1, (Part.HPO,)).value != on_hpo.value


def test_only_a_training_with_the_jobs_own_seed_is_offered_to_be_kept(finished_run: RunFolder) -> None:
    architecture = sample_sizes(finished_run, 3)[1]
    offered: list[Any] = []
    for seed in (1, 0):
        train_and_measure(finished_run, architecture, seed, (Part.HPO,), keep=lambda one, trained: offered.append(one))
    assert offered == [architecture]


def test_it_tells_at_each_validation_how_far_a_training_has_come(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = changed(copied_run, "retrain", eps=1e-6, patience=9, max_epochs=2, validations_per_epoch=1)
    steps = 2 * (
        sum(PreparedData.open(run.data).rows(part) for part in TRAINING)
        // default_hyper(run.job, taught=False).batch_size
    )
    told: list[tuple[int, str]] = []
    study = make_study(run, "verdict")
    train_truth(
        run,
        "verdict",
        sample_sizes(run, 2),
        1,
        (Part.HPO,),
        folder=tmp_path,
        on_progress=lambda ended, words: told.append((ended, words)),
    )
    words = [f"step {step} of at most {steps}" for step in (steps // 2, steps)]
    for trial in study.get_trials():
        assert [*trial.intermediate_values] == [steps // 2, steps]
    assert told == [(0, words[0]), (0, words[1]), (1, ""), (1, words[0]), (1, words[1]), (2, "")]


def test_a_checkpoint_is_of_the_study_that_says_how_it_trains(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Path] = []

    def train(*arguments: Any, checkpoint: Path, **options: object) -> TrialOutcome:
        seen.append(checkpoint)
        return TrialOutcome(value=0.5)

    monkeypatch.setattr(truth, "train_and_measure", train)
    architectures = sample_sizes(copied_run, 2)
    for eps in (1e-6, 1e-5):
        retrain = copied_run.job.retrain.model_copy(update={"eps": eps})
        run = RunFolder(copied_run.job.model_copy(update={"retrain": retrain}))
        train_truth(run, "verdict", architectures, 1, (Part.HPO,), folder=tmp_path)
    assert len(seen) == len({*seen}) == 2 * len(architectures)


def test_seeds_are_those_of_no_other_run_and_of_no_final_training(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []

    def train(run: RunFolder, architecture: object, offset: int, *arguments: object, **options: object) -> TrialOutcome:
        seen.append(run.job.seed + offset)
        return TrialOutcome(value=0.5)

    monkeypatch.setattr(truth, "train_and_measure", train)
    run = changed(copied_run, "retrain", eps=1e-6)
    train_truth(
        run,
        "verdict",
        sample_sizes(run, 1),
        4,
        (Part.HPO,),
        folder=tmp_path,
    )
    own = run.job.seed
    assert seen[0] == own
    others = {seed + number * FINAL_SEEDS_APART for seed in range(own, own + 100) for number in range(100)}
    assert len({*seen} - others) == len(seen) - 1 == 3


def test_a_training_whose_outcome_was_not_written_goes_on_from_its_last_checkpoint(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = changed(copied_run, "retrain", eps=1e-6)
    architectures = sample_sizes(run, 1)

    def train(seeds: int) -> None:
        train_truth(run, "verdict", architectures, seeds, (Part.HPO,), folder=tmp_path)

    with monkeypatch.context() as failing:
        failing.setattr(Ledger, "finish", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(2)
    assert len([*tmp_path.glob("*.ckpt")]) == 1
    steps = watch_steps(monkeypatch)
    train(2)
    assert steps[0] > 0
    assert steps.count(0) == 1, "of the second"
    assert not [*tmp_path.glob("*.ckpt")]


def test_scores_that_are_no_numbers_are_no_order(finished_run: RunFolder) -> None:
    evaluator, architectures = make_evaluator(finished_run), sample_sizes(finished_run, 4)

    class Broken(WeightSharingEvaluator):
        def __init__(self) -> None: ...

        def evaluate(self, architecture: Any, incumbents: Any = ()) -> Score:
            score = evaluator.evaluate(architecture)
            return replace(score, log_loss=float("nan")) if architecture == architectures[1] else score

    losses = np.array([[0.5, 0.5], [0.4, 0.4], [0.6, 0.6], [0.7, 0.7]])
    scores, ranking = judge_scores(finished_run, Broken(), architectures, losses)
    assert scores == {place: evaluator.evaluate(architectures[place]) for place in (0, 2, 3)}
    assert ranking is not None
    expected = kendalltau([score.log_loss for score in scores.values()], [0.5, 0.6, 0.7]).statistic
    assert (ranking.architectures, ranking.tau.value) == (3, pytest.approx(expected))
    losses[3, 1] = np.nan
    assert judge_scores(finished_run, Broken(), architectures, losses) == ({0: scores[0], 2: scores[2]}, None)
