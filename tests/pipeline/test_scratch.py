"""How a run trains an architecture from scratch."""

from dataclasses import asdict, replace

import pytest

from nasrec_automl.evaluation.scratch import ScratchOptions
from nasrec_automl.hyper_space import Distribution
from nasrec_automl.pipeline import scratch as module
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import (
    default_hyper,
    has_layer_norm,
    has_teachers,
    most_validations,
    progress_at,
    scratch_options,
    train_by_job,
)
from nasrec_automl.search import Hyper
from tests.pipeline.changed import changed

RATES = {"optimizer": "adagrad", "learning_rate/adagrad": 0.1, "weight_decay": 0.0, "dropout": 0.0, "batch_size": 128}


def test_layer_norm_is_the_hyper_parameter_or_else_the_jobs(finished_run: RunFolder) -> None:
    hyper = default_hyper(finished_run.job, taught=False)
    assert hyper.layer_norm is None
    for own in (True, False):
        job = finished_run.job.model_copy(
            update={"retrain": finished_run.job.retrain.model_copy(update={"layer_norm": own})}
        )
        assert has_layer_norm(job, hyper) == scratch_options(job, hyper, 100).layer_norm == own
        for said in (True, False):
            assert scratch_options(job, replace(hyper, layer_norm=said), 100).layer_norm == said


def test_candidates_begin_as_taught_where_they_have_teachers(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout = Distribution[float](low=0.0, high=0.6, default=0.3, taught=0.1)
    space = finished_run.job.retrain.space.model_copy(update={"dropout": dropout})
    job = changed(finished_run, "retrain", space=space).job
    alone = changed(finished_run, "retrain", space=space, teachers=0).job
    assert [default_hyper(job, taught=has_teachers(one)).dropout for one in (job, alone)] == [0.1, 0.3]
    monkeypatch.setattr(module, "hand_designs", lambda space: {})
    assert not has_teachers(job), "nobody can teach in a space without hand designs"


def test_trainings_decay_their_embedding_rows_as_they_are_told(finished_run: RunFolder) -> None:
    hyper = replace(Hyper.of(RATES, finished_run.job.retrain.space), weight_decay=1e-5)
    assert scratch_options(finished_run.job, hyper, 100).embedding_decay is None
    told = scratch_options(finished_run.job, replace(hyper, embedding_decay=1e-3), 100)
    assert (told.weight_decay, told.embedding_decay) == (1e-5, 1e-3)


@pytest.mark.parametrize("lengths", [(20, 2), (3, 4), (1, 10), (7, 3)])
@pytest.mark.parametrize("batch_size", [64, 300, 512, 1000, 1700, 10**6])
def test_progress_is_the_share_of_the_schedule_whatever_the_batch_size(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch, lengths: tuple[int, int], batch_size: int
) -> None:
    told: list[ScratchOptions] = []
    monkeypatch.setattr(module, "train_from_scratch", lambda *arguments, **_: told.append(arguments[-1]))
    run = changed(finished_run, "retrain", max_epochs=lengths[0], validations_per_epoch=lengths[1])
    hyper = replace(default_hyper(run.job, taught=False), batch_size=batch_size)
    train_by_job(run, next(iter(candidates(run).values())).architecture, hyper, lambda *_: False)
    every, end, most = told[0].validate_every, told[0].steps, most_validations(run)
    *places, last = [(step / end, progress_at(run, hyper, step)) for step in range(every, end + 1, every)]
    assert most == last[1] == lengths[0] * lengths[1]
    assert all(0 < place < most and abs(place - share * most) <= 0.5 for share, place in places)


def test_a_training_is_told_all_that_the_job_says_of_it(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[ScratchOptions] = []
    monkeypatch.setattr(module, "train_from_scratch", lambda *arguments, **_: told.append(arguments[-1]))
    own = {"patience": 7, "clip_norm": 0.123, "eps": 0.0456, "average_weights": False}
    job = finished_run.job.model_copy(
        update={"precision": "bfloat16", "retrain": finished_run.job.retrain.model_copy(update=own)}
    )
    hyper = replace(Hyper.of(RATES, job.retrain.space), learning_rate=0.0789, weight_decay=0.0123, dropout=0.345)
    candidate = next(iter(candidates(finished_run).values())).architecture
    train_by_job(RunFolder(job), candidate, hyper, lambda *_: False, seed_offset=5)
    options = asdict(told[0])
    assert (options["patience"], options["precision"], options["device"]) == (7, "bfloat16", "cpu")
    expected = {"clip_norm": 0.123, "eps": 0.0456, "average_weights": False, "seed": job.seed + 5}
    expected |= {"learning_rate": 0.0789, "weight_decay": 0.0123, "dropout": 0.345, "batch_size": 128}
    assert {name: options[name] for name in expected} == expected
