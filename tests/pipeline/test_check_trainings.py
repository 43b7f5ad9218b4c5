"""Trainings of the check that the retrain stage takes over."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial

from nasrec_automl.config import load_job
from nasrec_automl.errors import CheckpointError
from nasrec_automl.evaluation.scratch import Trained
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import check, retrain, truth
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, checked_best
from nasrec_automl.pipeline.check_trainings import check_folder, drop_kept, keep_training, take_over
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, train_by_job
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.pipeline.truth import sample_sizes
from nasrec_automl.ranking import judge_ranking
from nasrec_automl.space import load_search_space
from nasrec_automl.training.metrics import Metrics
from tests.pipeline.changed import changed

JOB: dict[str, Any] = {
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 1},
    "search": {"architectures": 8, "verdict": {"architectures": 8}},
    "retrain": {"max_epochs": 2, "validations_per_epoch": 4, "top_k": 2, "trials": 10, "teachers": 0},
}


def wrong_order(scores: Any, losses: Any, *rest: Any, **options: Any) -> Any:
    return judge_ranking(-losses.mean(axis=1), losses, *rest, **options)


def searched_in(folder: Path, write_job: Callable[..., Path], **changes: Any) -> RunFolder:
    """A run whose search has ended, and whose scores were found wanting."""
    run = RunFolder(load_job(write_job(folder, **{**JOB, **changes})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "judge_ranking", wrong_order)
        for name in ("data", "supernet", "search"):
            STAGES[name].run(run)
    return run


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> RunFolder:
    return searched_in(tmp_path_factory.mktemp("kept"), write_job)


@pytest.fixture
def run(searched: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(searched.path.parent, tmp_path, dirs_exist_ok=True)
    return RunFolder(load_job(tmp_path / "job.yaml"))


def kept(run: RunFolder) -> set[str]:
    return {path.name for path in check_folder(run).glob("*")}


def files(*keys: str) -> set[str]:
    return {f"{key}.{suffix}" for key in keys for suffix in ("json", "safetensors")}


def test_the_best_quarter_is_kept_and_nothing_else(run: RunFolder) -> None:
    best = checked_best(run)
    assert len(best) == 2
    assert kept(run) == files(*(one.key for one in best))


def test_what_is_taken_over_is_what_would_be_trained(run: RunFolder) -> None:
    architecture, hyper = checked_best(run)[0], default_hyper(run.job, taught=False)
    heard: tuple[list[Any], list[Any]] = ([], [])
    taken = take_over(run, architecture, hyper, lambda *point: bool(heard[0].append(point)))
    trained = train_by_job(run, architecture, hyper, lambda *point: bool(heard[1].append(point)))
    assert taken is not None
    assert heard[0] == heard[1] != []
    assert replace(taken, subnet=trained.subnet) == trained
    expected = trained.subnet.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in taken.subnet.state_dict().items())


def test_told_to_stop_it_is_as_good_as_it_was_then(run: RunFolder) -> None:
    heard: list[tuple[int, Metrics]] = []

    def second(step: int, metrics: Metrics) -> bool:
        heard.append((step, metrics))
        return len(heard) == 2

    taken = take_over(run, checked_best(run)[0], default_hyper(run.job, taught=False), second)
    assert taken is not None
    assert taken.stopped
    assert len(heard) == 2
    assert (taken.step, taken.metrics) == min(heard, key=lambda point: point[1].log_loss)


@pytest.mark.parametrize(
    "changes", [{"patience": 1}, {"max_epochs": 3}, {"average_weights": False}], ids=lambda changes: next(iter(changes))
)
def test_a_training_by_other_settings_is_not_taken_over(run: RunFolder, changes: dict[str, Any]) -> None:
    architecture, hyper = checked_best(run)[0], default_hyper(run.job, taught=False)
    other = changed(run, "retrain", **changes)
    assert take_over(other, architecture, hyper, ignore) is None
    assert take_over(run, architecture, replace(hyper, dropout=0.3), ignore) is None
    assert take_over(run, architecture, hyper, ignore) is not None
    assert take_over(changed(run, "retrain", teachers=2), architecture, hyper, ignore) is None, "it was not taught"


def ignore(step: int, metrics: Metrics) -> bool:
    return False


def test_what_another_worker_is_about_to_delete_is_trained(run: RunFolder) -> None:
    architecture = checked_best(run)[0]
    (check_folder(run) / f"{architecture.key}.safetensors").unlink()
    assert take_over(run, architecture, default_hyper(run.job, taught=False), ignore) is None


def test_the_better_ones_stay(run: RunFolder) -> None:
    drop_kept(run)
    assert not check_folder(run).exists()
    architectures = sample_sizes(run, 4)
    subnet = train_by_job(run, checked_best(run)[0], default_hyper(run.job, taught=False), ignore).subnet
    for architecture, loss in zip(architectures, (0.6, 0.5, 0.7, 0.55), strict=True):
        curve = [(step, Metrics(each, 0.5, 0.01, 10)) for step, each in ((1, loss), (2, loss + 0.3))]
        keep_training(run, architecture, Trained(curve[0][1], 1, False, subnet, 9), curve, most=2)
    assert kept(run) == files(architectures[1].key, architectures[3].key)
    drop_kept(run, but=[architectures[3].key, "another"])
    assert kept(run) == files(architectures[3].key)


def test_trainings_over_the_budget_take_no_place(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    free = RunFolder(load_job(write_job(tmp_path / "free", **JOB)))
    STAGES["data"].run(free)
    costs = sorted(job_budget(free).counted(one)["macs"] for one in sample_sizes(free, 8))
    run = searched_in(tmp_path / "limited", write_job, budget={"macs": costs[3]})
    assert checked_best(run)
    assert kept(run) == files(*(one.key for one in checked_best(run)))


@pytest.mark.slow
def test_short_or_untaught_trainings_and_those_of_trusted_scores_are_not_kept(
    tmp_path: Path, write_job: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {**JOB["search"], "verdict": {"architectures": 4, "max_epochs": 1}}
    assert not check_folder(searched_in(tmp_path / "short", write_job, search=search)).exists()
    taught = {**JOB["retrain"], "max_epochs": 1, "teachers": 2}
    assert not check_folder(searched_in(tmp_path / "taught", write_job, search=search, retrain=taught)).exists()
    monkeypatch.setattr(check, "checked_best", lambda run: [])
    assert not check_folder(searched_in(tmp_path / "trusted", write_job)).exists()


@pytest.mark.slow
def test_a_run_that_takes_trainings_over_ends_as_one_that_repeats_them(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path, tmp_path / "again")
    again = RunFolder(load_job(tmp_path / "again" / "job.yaml"))
    drop_kept(again)
    trained: list[str] = []
    train = train_by_job

    def counted(run: RunFolder, architecture: Any, *arguments: Any, **options: Any) -> Trained:
        trained.append(architecture.key)
        return train(run, architecture, *arguments, **options)

    monkeypatch.setattr(retrain, "train_by_job", counted)
    best = {one.key for one in checked_best(run)}
    first_of = len(candidates(run))
    run_job(run)
    assert not best & set(trained[: first_of - len(best)]), "their first trainings are the check's"
    assert not check_folder(run).exists()
    for key in best - {design.key for design in hand_designs(load_search_space(run.job.space)).values()}:
        assert any(load_subnet(path).architecture.key == key for path in run.retrained.glob("*.safetensors"))
    run_job(again)

    def told(one: RunFolder) -> list[tuple[Any, ...]]:
        def of(trial: FrozenTrial) -> tuple[Any, ...]:
            return trial.number, trial.state, trial.params, trial.values, trial.intermediate_values

        return list(map(of, begun_study(one, "retrain").get_trials()))

    assert told(run) == told(again)
    results = [{k: v for k, v in read_json(one.result).items() if k != "seconds"} for one in (run, again)]
    assert results[0] == results[1]


def test_weights_that_are_no_numbers_are_not_kept(run: RunFolder) -> None:
    architecture = checked_best(run)[0]
    trained = train_by_job(run, architecture, default_hyper(run.job, taught=False), ignore)
    with torch.no_grad():
        next(trained.subnet.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="NaN"):
        keep_training(run, architecture, trained, [(1, trained.metrics)], most=2)
