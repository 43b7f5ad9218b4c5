"""A job's budget: kept by every stage after the supernet, also where it changes after a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import BudgetError, RunFolderError
from nasrec_automl.hyper_space import Distribution
from nasrec_automl.network.latency import Latency, SubnetLatency
from nasrec_automl.pipeline import budget as module
from nasrec_automl.pipeline.budget import job_budget, left_out_designs
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.export import export_run
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.report import report_content
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.stages import next_stage, run_job
from nasrec_automl.pipeline.status import run_status, search_is_noted
from nasrec_automl.pipeline.studies import begun_study, search_admission
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.pipeline.view import stage_table
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def finished(run: RunFolder) -> list[FrozenTrial]:
    return begun_study(run, "search").get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def macs(run: RunFolder) -> list[int]:
    return [trial.user_attrs["nasrec:macs"] for trial in finished(run)]


def text_of(renderable: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_without_a_budget_the_trials_say_macs_and_parameters_alone(finished_run: RunFolder) -> None:
    for trial in finished(finished_run):
        costs = job_budget(finished_run).counted(load_search_space(finished_run.job.space).from_params(trial.params))
        assert {name: trial.user_attrs[f"nasrec:{name}"] for name in costs} == costs
        assert "nasrec:latency_ms" not in trial.user_attrs
        assert trial.constraints == {}
    assert "Budget" not in report_content(finished_run).facts
    assert "budget" not in text_of(stage_table(finished_run))
    assert "budget" not in read_json(finished_run.result)


def test_a_tighter_budget_goes_on_to_a_model_inside(copied_run: RunFolder) -> None:
    before = macs(copied_run)
    limit = int(median(before)) - 1
    kept = sum(cost <= limit for cost in before)
    assert 0 < kept < 20
    weights = copied_run.weights.stat().st_mtime_ns
    subnets = {path for path in copied_run.retrained.glob("*.safetensors") if "teacher-" not in path.name}
    run = changed(copied_run, "budget", macs=limit)
    stage = next_stage(run)
    assert stage is not None
    assert stage.name == "search"
    assert [status.state for status in run_status(run)][:3] == ["done", "done", "interrupted"]
    assert SearchStage().units(run) == (kept, 20)
    over = {name for name, one in candidates(copied_run).items() if not job_budget(run).admits(one.architecture)}
    winner = load_search_space(run.job.space).from_params(read_json(run.result)["architecture"])
    if not job_budget(run).admits(winner):
        with pytest.raises(RunFolderError, match=r"over the job's budget by [\d,]+ multiply-adds"):
            export_run(run, "torch", run.path / "model.pt2")
    run_job(run)
    assert run.weights.stat().st_mtime_ns == weights  # one supernet serves many budgets
    after = macs(run)
    assert after[:20] == before
    assert len(after) == 40 - kept
    assert all(cost <= limit for cost in after[20:])
    found = candidates(run)
    assert all(job_budget(run).admits(one.architecture) for one in found.values())
    assert not over & {*found}
    result = read_json(run.result)
    assert result["macs"] <= limit
    assert result["budget"] == {"macs": limit}
    assert all(contender["macs"] <= limit for contender in read_json(run.final)["contenders"])
    assert export_run(run, "torch", run.path / "model.pt2").is_file()
    content = report_content(run)
    assert all(scored.macs <= limit for scored in content.search)
    assert content.facts["Budget"] == f"at most {limit:,} multiply-adds"
    assert content.facts["Inside the budget"].endswith("% of 1,000 random architectures")
    left_out = content.facts["Left out, over the budget"]
    assert f"{20 - kept} scored architectures" in left_out
    assert all(name in left_out for name in left_out_designs(load_search_space(run.job.space), job_budget(run)))
    assert f"budget: at most {limit:,} multiply-adds" in text_of(stage_table(run))
    assert next_stage(run) is None
    assert subnets <= set(run.retrained.glob("*.safetensors")), "a budget that grows again finds its own"


def test_it_is_made_once_for_the_same_job_and_data(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = job_budget(finished_run)
    with monkeypatch.context() as patched:
        patched.setattr(Preprocessing, "load", lambda *_: pytest.fail("large vocabularies are read again"))
        assert job_budget(finished_run) is first
    run = RunFolder(finished_run.job.model_copy(update={"run_folder": tmp_path / "run"}))
    prepare(make_synthetic(1000, 9, fields=5, dense=3), run.data)
    before = job_budget(run)
    shutil.rmtree(run.data)
    prepare(make_synthetic(1000, 9, fields=4, dense=3), run.data)
    architecture = load_search_space(run.job.space).random(np.random.default_rng(0))
    assert job_budget(run).counted(architecture) != before.counted(architecture)


def fresh(run: RunFolder, folder: Path, **limits: Any) -> RunFolder:
    """A run whose supernet is trained, and that has not searched."""
    new = changed(replace(run, job=run.job.model_copy(update={"run_folder": folder})), "budget", **limits)
    folder.mkdir()
    for part in ("data", "supernet", "stages"):
        shutil.copytree(run.path / part, folder / part)
    for stage in ("search", "retrain", "final", "report"):
        (folder / "stages" / f"{stage}.json").unlink(missing_ok=True)
    return new


def test_latency_is_measured_once_a_key_in_a_run(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    measured: list[Latency] = []
    measure = SubnetLatency.__call__

    def note(self: SubnetLatency, architecture: Architecture) -> Latency:
        asked.append(architecture.key)
        if not measured:  # once is enough to know that it can
            measured.append(measure(self, architecture))
        # Every other key is slow.
        return replace(measured[0], median_ms=1.0 if int(architecture.key, 16) % 2 else 9.0)

    monkeypatch.setattr(SubnetLatency, "__call__", note)

    def searched(name: str, count: int | None) -> RunFolder:
        run = fresh(finished_run, tmp_path / name, latency_ms=5.0, batch_size=16)
        while not SearchStage().is_done(run):
            module._budget.cache_clear()  # as in a new process
            SearchStage().run(run, count=count)
        return run

    whole = searched("whole", None)
    once = len(asked)
    assert once == len(set(asked)) == len(list((whole.path / "latency").rglob("*.json")))
    for trial in finished(whole):
        assert trial.user_attrs["nasrec:latency_ms"] == 1.0
        assert int(trial.user_attrs["nasrec:key"], 16) % 2
    with monkeypatch.context() as nowhere:  # a report may be written where the job's device is not
        module._budget.cache_clear()
        nowhere.setattr(module, "SubnetLatency", lambda *_, **__: pytest.fail("measures"))
        known = load_search_space(whole.job.space).from_params(finished(whole)[0].params)
        assert job_budget(whole).costs(known)["latency_ms"] == 1.0
    noted = read_json(whole.latency(asked[0]))
    assert noted["rows"] == 16
    assert noted["device"] == "cpu"
    broken = searched("broken", 4)
    assert len(asked) == 2 * once
    assert [t.params for t in finished(broken)] == [t.params for t in finished(whole)]
    assert json.loads(whole.top.read_text())["budget"] == {"latency_ms": 5.0, "batch_size": 16, "device": "cpu"}
    assert not SearchStage().is_done(changed(whole, "budget", batch_size=32))
    elsewhere = replace(whole, job=whole.job.model_copy(update={"device": "cuda"}))
    assert search_is_noted(whole)
    assert not search_is_noted(elsewhere), "all is measured again there"
    # Networks with LayerNorm take longer, and all must be measured alike.
    assert whole.job.retrain.may_layer_norm
    plain = whole.job.retrain.space.model_copy(update={"layer_norm": Distribution(choices=(False,))})
    assert not changed(whole, "retrain", layer_norm=False, space=plain).latency(asked[0]).is_file()


def test_two_workers_that_measure_at_once_agree(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh(finished_run, tmp_path / "run", latency_ms=5.0, batch_size=16)
    architecture = load_search_space(run.job.space).random(np.random.default_rng(0))
    found: list[float] = []
    own = iter((4.0, 6.0))  # on either side of the limit

    def ask() -> None:
        module._budget.cache_clear()  # as in a new process
        found.append(job_budget(run).costs(architecture)["latency_ms"])

    def measure(self: SubnetLatency, architecture: Architecture) -> Latency:
        median_ms = next(own)
        if median_ms == 4.0:
            ask()  # the other one begins after this one, and is ready before it
        return Latency(median_ms=median_ms, low_ms=0.0, high_ms=9.0, repeats=1, rows=16, device="cpu", threads=1)

    monkeypatch.setattr(SubnetLatency, "__call__", measure)
    ask()
    assert found == [6.0, 6.0]
    ask()
    assert found[2] == 6.0


def test_a_budget_that_cannot_be_met_is_an_error_and_can_be_mended(finished_run: RunFolder, tmp_path: Path) -> None:
    run = fresh(finished_run, tmp_path / "run", parameters=10)
    with pytest.raises(BudgetError, match=r"inside the budget \(at most 10 parameters\); the smallest found has"):
        SearchStage().run(run)
    assert SearchStage().run(changed(run, "budget", parameters=None), count=2)


def test_a_budget_that_cannot_be_met_is_an_error_before_anything_is_trained(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh(finished_run, tmp_path / "run", parameters=10)
    run.weights.unlink()
    for name in ("supernet_label", "train_supernet"):
        monkeypatch.setattr(f"nasrec_automl.pipeline.supernet.{name}", lambda *_: pytest.fail("trained"))
    with pytest.raises(BudgetError, match=r"inside the budget \(at most 10 parameters\); the smallest found has"):
        SupernetStage().run(run)


def test_what_is_enqueued_over_the_budget_ends_no_search(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "search")
    space = load_search_space(copied_run.job.space)
    rng, known = np.random.default_rng(0), {trial.user_attrs["nasrec:key"] for trial in study.get_trials()}
    limit = min(macs(copied_run)) - 1  # all that was scored is over it
    run = changed(copied_run, "budget", macs=limit)
    over = (a for a in (space.random(rng) for _ in range(1000)) if a.key not in known and not job_budget(run).admits(a))
    study.enqueue_trial(dict(next(over).params))
    reported: list[object] = []
    assert SearchStage().run(run, count=1, on_metrics=reported.append) == {}
    assert reported == [{}]
    assert finished(run)[-1].user_attrs["nasrec:macs"] > limit
    assert SearchStage().units(run) == (0, 20)


def test_who_asks_how_far_a_search_has_come_measures_nothing(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = changed(copied_run, "budget", latency_ms=5.0, batch_size=16)
    with monkeypatch.context() as patched:
        patched.setattr(module, "SubnetLatency", lambda *_, **__: pytest.fail("measures"))
        assert SearchStage().units(run) == (0, 20)
    found = Latency(median_ms=1.0, low_ms=0.0, high_ms=9.0, repeats=1, rows=16, device="cpu", threads=1)
    monkeypatch.setattr(SubnetLatency, "__call__", lambda *_: found)
    module._budget.cache_clear()
    assert len(list(filter(search_admission(run), finished(run)[:7]))) == 7
    assert SearchStage().units(run) == (7, 20)
