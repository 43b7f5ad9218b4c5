"""The search stage of a finished run, and a done search that is asked for more."""

import gc
import json
import logging
import shutil
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial

from nasrec_automl.config import SearchConfig
from nasrec_automl.errors import CheckpointError, JobError, StudyError
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.outcomes import SearchOutcome
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.status import result_is_noted, retrain_is_noted
from nasrec_automl.pipeline.studies import begun_study, hold_to_weights, make_study
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.search.attributes import WEIGHTS_HASH
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def study_of(run: RunFolder) -> optuna.Study:
    """With plain Optuna, as somebody else's notebook would."""
    return optuna.load_study(study_name="tiny-search", storage=f"sqlite:///{run.path / 'studies.db'}")


def test_the_study_has_as_many_trials_as_were_asked_and_no_key_twice(finished_run: RunFolder) -> None:
    study = study_of(finished_run)
    assert study.direction.name == "MINIMIZE"
    assert Counter(trial.state.name for trial in study.trials) == {"COMPLETE": 20}
    keys = [trial.user_attrs["nasrec:key"] for trial in study.trials]
    assert len(set(keys)) == 20
    space = load_search_space(finished_run.job.space)
    for trial in study.trials:
        assert space.from_params(trial.params).key == trial.user_attrs["nasrec:key"]
        assert 0.3 < trial.value < 1.0
        assert trial.user_attrs["nasrec:standard_error"] > 0
        assert trial.user_attrs["nasrec:macs"] > 0


def test_hand_designs_come_first(finished_run: RunFolder) -> None:
    designs = hand_designs(load_search_space(finished_run.job.space))
    first = [trial.user_attrs["nasrec:key"] for trial in study_of(finished_run).trials[: len(designs)]]
    assert first == [design.key for design in designs.values()]


def test_the_best_are_noted(finished_run: RunFolder) -> None:
    noted = json.loads(finished_run.top.read_text())
    ranked = sorted(study_of(finished_run).trials, key=lambda trial: trial.value)
    assert noted["target"] == noted["scored"] == 20
    assert noted["top"] == [trial.params for trial in ranked]
    assert SearchStage().units(finished_run) == (20, 20)


def test_more_architectures_go_on_from_the_old_ones(copied_run: RunFolder) -> None:
    before = {trial.number: (trial.params, trial.value) for trial in study_of(copied_run).trials}
    grown = changed(copied_run, "search", architectures=26)
    assert SearchStage().units(grown) == (20, 26)
    heard = []
    SearchStage().run(grown, count=4, on_metrics=heard.append)
    assert SearchStage().units(grown) == (24, 26)
    assert len(heard) == 4
    final = SearchStage().run(grown)
    assert SearchStage().is_done(grown)
    after = study_of(copied_run).trials
    assert Counter(trial.state.name for trial in after) == {"COMPLETE": 26}
    assert len({trial.user_attrs["nasrec:key"] for trial in after}) == 26
    assert {number: (after[number].params, after[number].value) for number in before} == before
    assert final == {"log_loss": min(trial.value for trial in after)}


@pytest.mark.parametrize(
    ("name", "value"), [("population", 6), ("children", 2), ("tournament", 3), ("max_rows", 50), ("early_stop", 3)]
)
def test_other_settings_are_refused_by_name(copied_run: RunFolder, name: str, value: int) -> None:
    grown = changed(copied_run, "search", **{name: value, "architectures": 26})
    before = study_of(copied_run).trials
    with pytest.raises(JobError, match=rf"search\.{name}: the search stage .* but the job says {value}"):
        SearchStage().run(grown)
    assert study_of(copied_run).trials == before


def test_weights_of_another_space_are_refused(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    path = copied_run.path.parent / "space.yaml"
    path.write_text(path.read_text().replace("name: tiny", "name: other"))
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: the supernet is of the space 'tiny'.*'other'"):
        SearchStage().run(copied_run)


def test_weights_of_another_schema_are_refused(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    other = replace(copied_run, job=copied_run.job.model_copy(update={"embedding_dim": 4}))
    with pytest.raises(CheckpointError, match=r"trained on another schema .embedding width 8 instead of 4"):
        SearchStage().run(other)


def test_a_study_of_other_data_is_refused(copied_run: RunFolder) -> None:
    from nasrec_automl.data.preparation import prepare
    from nasrec_automl.data.synthetic import make_synthetic

    prepare(make_synthetic(1000, 9, fields=4, dense=3), copied_run.data)
    with pytest.raises(StudyError, match="'tiny-search' has data"):
        begun_study(copied_run, "search")


def test_a_study_without_a_score_takes_a_supernet_that_was_trained_again(copied_run: RunFolder) -> None:
    """As where a run was killed in the check of its scores, which comes before the first."""
    study = begun_study(copied_run, "search")
    hold_to_weights(copied_run, study)
    written = study.user_attrs[WEIGHTS_HASH]
    study.set_user_attr(WEIGHTS_HASH, "of others")
    with pytest.raises(StudyError, match="has scores of another supernet"):
        hold_to_weights(copied_run, study)
    optuna.delete_study(study_name="tiny-search", storage=copied_run.job.storage_url)
    copied_run.top.unlink()
    copied_run.retrain_done.unlink()
    study = make_study(copied_run, "search")
    study.set_user_attr(WEIGHTS_HASH, "of others")
    hold_to_weights(copied_run, study)
    assert study.user_attrs[WEIGHTS_HASH] == written


def test_a_search_that_has_ended_keeps_no_supernet_in_memory(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def noted(run: RunFolder) -> WeightSharingEvaluator:
        evaluator = make_evaluator(run)
        made.append(weakref.ref(evaluator))
        return evaluator

    monkeypatch.setattr("nasrec_automl.pipeline.search.make_evaluator", noted)
    SearchStage().run(changed(copied_run, "search", architectures=copied_run.job.search.architectures + 1))
    gc.collect()
    assert [left() for left in made] == [None]


def test_scores_of_another_supernet_of_the_same_settings_are_not_mixed_in(copied_run: RunFolder) -> None:
    more = changed(copied_run, "search", architectures=copied_run.job.search.architectures + 1)
    found = make_evaluator(copied_run).supernet
    with torch.no_grad():
        found.head.bias += 0.01
    save_network(found, copied_run.weights)
    with pytest.raises(StudyError, match=r"'tiny-search' has scores of another supernet than that of .*weights"):
        SearchStage().run(more)
    assert len(begun_study(copied_run, "search").get_trials()) == copied_run.job.search.architectures


def test_early_stops_are_the_same_after_any_break(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The search part has 300 rows: by default so few are read at once, and leave everything open.
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop._FEWEST", 30)
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop._FEWEST_OF_EACH", 5)
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop.CONFIDENCE", 0.4)

    def searched(name: str, count: int | None) -> list[FrozenTrial]:
        run = replace(finished_run, job=finished_run.job.model_copy(update={"run_folder": tmp_path / name}))
        run.path.mkdir()
        for part in ("data", "supernet", "stages"):
            shutil.copytree(finished_run.path / part, run.path / part)
        (run.path / "stages" / "search.json").unlink()
        run = changed(run, "search", architectures=30, early_stop=2)
        while not SearchStage().is_done(run):
            SearchStage().run(run, count=count)
        noted = json.loads(run.top.read_text())["top"]
        trials = begun_study(run, "search").get_trials()
        assert noted == [trial.params for trial in sorted(trials, key=lambda t: t.value)]
        return trials

    unbroken, broken = searched("unbroken", None), searched("broken", 4)
    stopped = [trial for trial in unbroken if trial.user_attrs["nasrec:stopped"]]
    assert 5 < len(stopped) < 28
    assert all(trial.user_attrs["nasrec:rows"] in (37, 75, 150) for trial in stopped)
    assert [_outcome(trial) for trial in broken] == [_outcome(trial) for trial in unbroken]
    best = sorted(unbroken, key=lambda trial: trial.value)[:2]
    assert not any(trial.user_attrs["nasrec:stopped"] for trial in best)


def several_objectives(finished_run: RunFolder, folder: Path, **search: object) -> RunFolder:
    """A run over the same supernet that has not searched."""
    run = replace(finished_run, job=finished_run.job.model_copy(update={"run_folder": folder}))
    folder.mkdir()
    for part in ("data", "supernet", "stages"):
        shutil.copytree(finished_run.path / part, folder / part)
    (folder / "stages" / "search.json").unlink()
    section = run.job.search.model_dump(exclude={"sampler"})
    config = SearchConfig.model_validate({**section, "population": 6, **search})
    return replace(run, job=run.job.model_copy(update={"search": config}))


def test_several_objectives_have_one_trial_each_and_all_rows(front_run: RunFolder) -> None:
    study = study_of(front_run)
    assert study.metric_names == ["log_loss", "macs"]
    assert [direction.name for direction in study.directions] == ["MINIMIZE"] * 2
    trials = study.trials
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 20}
    assert all(trial.values[1] == trial.user_attrs["nasrec:macs"] for trial in trials)
    assert not any(trial.user_attrs["nasrec:stopped"] for trial in trials)
    assert [trial.system_attrs["NSGAIISampler:generation"] for trial in trials] == [i // 6 for i in range(20)]
    designs = hand_designs(load_search_space(front_run.job.space)).values()
    assert [trial.user_attrs["nasrec:key"] for trial in trials[: len(designs)]] == [design.key for design in designs]


def test_the_front_is_what_goes_on_to_be_trained(front_run: RunFolder) -> None:
    study = study_of(front_run)
    front = sorted(study.best_trials, key=lambda trial: trial.values[0])  # Optuna's own idea of the front
    noted = json.loads(front_run.top.read_text())["top"]
    assert len(noted) == 20
    assert noted[: len(front)] == [trial.params for trial in front]
    assert len(candidates(front_run)) >= 2
    assert next(iter(candidates(front_run).values())).architecture.params == front[0].params
    note = read_json(front_run.progress("search"))["note"]
    assert f"{len(front)} on the Pareto front of log_loss, macs" in note


def test_the_front_is_the_same_after_any_break(finished_run: RunFolder, tmp_path: Path) -> None:
    objectives = {"objectives": ("log_loss", "macs")}
    whole = several_objectives(finished_run, tmp_path / "whole", **objectives)
    SearchStage().run(whole)
    broken = several_objectives(finished_run, tmp_path / "broken", **objectives)
    while not SearchStage().is_done(broken):
        SearchStage().run(broken, count=4)
    assert [(t.params, t.values, t.system_attrs) for t in study_of(broken).trials] == [
        (t.params, t.values, t.system_attrs) for t in study_of(whole).trials
    ]
    assert broken.top.read_text() == whole.top.read_text()


def test_several_objectives_stop_nothing_early(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop._FEWEST", 30)
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop._FEWEST_OF_EACH", 5)
    monkeypatch.setattr("nasrec_automl.evaluation.early_stop.CONFIDENCE", 0.4)
    run = several_objectives(finished_run, tmp_path / "run", objectives=("log_loss", "macs"), early_stop=2)
    SearchStage().run(run)
    assert {trial.user_attrs["nasrec:rows"] for trial in study_of(run).trials} == {300}


def test_latency_as_an_objective_is_measured_as_the_budget_says(finished_run: RunFolder, tmp_path: Path) -> None:
    run = several_objectives(finished_run, tmp_path / "run", objectives=("log_loss", "latency_ms"), architectures=8)
    run = changed(run, "budget", batch_size=32)
    SearchStage().run(run)
    for trial in study_of(run).trials:
        noted = read_json(run.latency(trial.user_attrs["nasrec:key"]))
        assert noted["rows"] == 32
        assert noted["repeats"] >= 30
        assert trial.values[1] == noted["median_ms"] > 0
        assert trial.constraints == {}
    with pytest.raises(JobError, match=r"budget\.batch_size: the search stage .* with 32, but the job says 16"):
        SearchStage().run(changed(run, "budget", batch_size=16))


@pytest.mark.parametrize("objectives", [("log_loss",), ("log_loss", "parameters")])
def test_other_objectives_are_refused(finished_run: RunFolder, tmp_path: Path, objectives: tuple[str, ...]) -> None:
    run = several_objectives(finished_run, tmp_path / "run", objectives=("log_loss", "macs"), architectures=3)
    SearchStage().run(run)
    before = study_of(run).trials
    other = changed(run, "search", objectives=objectives)
    with pytest.raises(JobError, match=r"search\.objectives: the search stage .*'macs'"):
        SearchStage().run(other)
    with pytest.raises(StudyError, match=f"has objectives 'log_loss, macs', but '{', '.join(objectives)}' is expected"):
        begun_study(other, "search")
    assert study_of(run).trials == before


def _outcome(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.params, trial.value, *(trial.user_attrs[f"nasrec:{name}"] for name in ("rows", "standard_error"))


def test_a_search_ends_with_the_best_that_it_had_time_for_and_goes_on_with_more(searching: RunFolder) -> None:
    def of(architectures: int, timeout: str | None) -> RunFolder:
        config = searching.job.search.model_copy(update={"architectures": architectures, "timeout": timeout})
        return RunFolder(searching.job.model_copy(update={"search": config}))

    late = of(5000, "1s")
    SearchStage().run(late)
    assert SearchStage().is_done(late)
    scored = read_json(late.top)["scored"]
    assert 0 < scored < 5000
    progress = read_json(late.progress("search"))
    assert (progress["done"], progress["total"]) == (scored, 5000)
    assert "no more after 1s" in progress["note"]
    assert not SearchStage().is_done(of(5000, "1h"))
    more = of(scored + 2, "1h")
    SearchStage().run(more)
    assert read_json(more.top)["scored"] == scored + 2


def test_what_a_study_holds_twice_is_handed_on_once(searching: RunFolder) -> None:
    SearchStage().run(changed(searching, "search", architectures=3))
    study = begun_study(searching, "search")
    study.add_trial(min(study.get_trials(), key=lambda trial: trial.value or 0.0))
    more = changed(searching, "search", architectures=5)
    SearchStage().run(more)
    space, found = load_search_space(searching.job.space), read_json(more.top)
    keys = [space.from_params(params).key for params in found["top"]]
    assert len(keys) == len({*keys}) == 4
    assert found["scored"] == 5


class _Reader(logging.Handler):
    """Presses Ctrl-C when a warning is there."""

    def emit(self, record: logging.LogRecord) -> None:
        raise KeyboardInterrupt


_STAGES = tuple(STAGES[name] for name in ("data", "supernet", "search"))


@pytest.mark.parametrize(
    "config", [{"architectures": 8}, {"architectures": 8, "sampler": "tpe"}], ids=["evolution", "tpe"]
)
def test_a_search_that_would_end_with_its_random_start_says_so_while_it_can_be_changed(
    searching: RunFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    searching.weights.rename(searching.weights.with_suffix(".kept"))
    monkeypatch.setattr(SupernetStage, "run", lambda *_: pytest.fail("trained before it was said"))
    asked = SearchConfig.model_validate({**searching.job.search.model_dump(), **config})
    run = RunFolder(searching.job.model_copy(update={"search": asked}))
    logger = logging.getLogger("nasrec_automl")
    reader = _Reader(logging.WARNING)
    logger.addHandler(reader)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(run, _STAGES)
    finally:
        logger.removeHandler(reader)
    caplog.clear()
    searching.weights.with_suffix(".kept").rename(searching.weights)
    followed = {**config, "population": 4, **({"tournament": 4} if asked.sampler == "evolution" else {})}
    asked = SearchConfig.model_validate({**searching.job.search.model_dump(), **followed})
    run_job(RunFolder(searching.job.model_copy(update={"search": asked})), _STAGES)
    assert "search.population" not in caplog.text


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"architectures": 8}, "lower search.population, or raise search.architectures,"),
        ({"architectures": 8, "sampler": "tpe"}, "lower search.population, or raise search.architectures,"),
        ({}, ""),
        ({"architectures": 8, "sampler": "random"}, ""),
    ],
)
def test_what_is_said_of_a_random_start(
    searching: RunFolder, caplog: pytest.LogCaptureFixture, config: dict[str, Any], told: str
) -> None:
    run = changed(searching, "search", **config)
    SearchStage().warn(run)
    assert told in caplog.text
    assert ("search.architectures (8) does not exceed search.population (8)" in caplog.text) == bool(told)
    run.claim("search", SearchStage().settings(run))
    caplog.clear()
    SearchStage().warn(run)
    assert not caplog.text, "a search that has begun keeps its population"


@pytest.mark.parametrize("written", [True, False])
def test_killed_as_it_hands_on_it_leaves_no_note_of_other_trainings(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    handed_on = copied_run.top.stat().st_mtime_ns
    SearchStage().run(copied_run)  # as a worker that comes late
    assert retrain_is_noted(copied_run)
    assert copied_run.top.stat().st_mtime_ns == handed_on
    study = study_of(copied_run)
    limit = study.best_trial.user_attrs["nasrec:macs"] - 1
    inside = sum(trial.user_attrs["nasrec:macs"] <= limit for trial in study.trials)
    # So many that it scores no others, which might be the best of all with the budget of before.
    others = changed(changed(copied_run, "budget", macs=limit), "search", architectures=inside)
    with monkeypatch.context() as patched:

        def killed(outcome: SearchOutcome, path: Path) -> None:
            if written:
                write_json(path, outcome.model_dump(mode="json"))
            raise KeyboardInterrupt

        patched.setattr(SearchOutcome, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            SearchStage().run(others)
    assert SearchStage().is_done(others) == written
    assert not result_is_noted(others)
    SearchStage().run(others)
    assert SearchStage().is_done(others)
    assert not retrain_is_noted(others)
    SearchStage().run(copied_run)
    assert retrain_is_noted(copied_run), "with the budget of before, its trainings count again"
    assert result_is_noted(copied_run)
