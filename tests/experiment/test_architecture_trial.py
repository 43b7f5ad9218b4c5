"""Architectures in flat form under NNI's own tuners: the trial command alone, and in real experiments."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from nni.experiment.config import ExperimentConfig

from nasrec_automl.config import load_job
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.experiment import architecture_trial, trial_process
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.teachers import taught_label
from nasrec_automl.space import load_architecture, load_search_space
from nasrec_automl.training.metrics import Metrics
from tests.warm import run_warm

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "existing_nni_pipeline"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(trial_process.signal, "signal", lambda *arguments: None)
    sent: list[dict[str, Any]] = []

    class Channel:
        def __init__(self, parameters: Any) -> None:
            self.parameters = parameters

        def receive_parameter(self) -> Any:
            return {"parameter_id": 3, "parameters": self.parameters}

        def send_metric(self, **metric: Any) -> None:
            sent.append(metric)

    def start(parameters: Any, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr(trial_process, "get_default_trial_command_channel", lambda: Channel(parameters))
        return architecture_trial.main([str(argument) for argument in arguments]), sent

    return start


def test_reports_the_evaluators_log_loss_as_it_is(start: Any, finished_run: RunFolder) -> None:
    architecture = load_search_space(finished_run.job.space).random(np.random.default_rng(0))
    score = make_evaluator(finished_run).evaluate(architecture)
    code, (sent,) = start(dict(architecture.params), finished_run.path)
    assert (code, sent["type"], sent["parameter_id"]) == (0, "FINAL", 3)
    assert sent["value"] == {
        "default": score.log_loss,
        "auc": score.auc,
        "standard_error": score.standard_error,
    }


@pytest.mark.parametrize("added", [{"TRIAL_BUDGET": 3}, {"load_checkpoint_dir": "a/0", "save_checkpoint_dir": "a/1"}])
def test_what_nnis_tuners_add_is_no_label(start: Any, finished_run: RunFolder, added: dict[str, Any]) -> None:
    params = load_search_space(finished_run.job.space).random(np.random.default_rng(0)).params
    code, (sent,) = start({**params, **added}, finished_run.path)
    assert (code, sent["type"]) == (0, "FINAL")


def test_from_scratch_reports_validations_and_the_best_of_them(start: Any, finished_run: RunFolder) -> None:
    architecture = load_search_space(finished_run.job.space).random(np.random.default_rng(0))
    code, sent = start(dict(architecture.params), finished_run.path, "--from-scratch")
    assert code == 0
    *curve, final = sent
    assert [metric["sequence"] for metric in curve] == [0, 1, 2, 3]
    assert {metric["type"] for metric in curve} == {"PERIODICAL"}
    assert final["type"] == "FINAL"
    assert final["value"] == min((metric["value"] for metric in curve), key=lambda value: value["default"])


def test_from_scratch_learns_from_the_teachers_as_the_runs_own_trainings_do(
    start: Any, finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def trained(*arguments: Any, label: Any = None) -> Any:
        given.append(label)
        return SimpleNamespace(metrics=Metrics(log_loss=0.5, auc=0.7, standard_error=0.1, rows=9))

    monkeypatch.setattr("nasrec_automl.pipeline.scratch.train_by_job", trained)
    params = load_search_space(finished_run.job.space).random(np.random.default_rng(0)).params
    assert start(dict(params), finished_run.path, "--from-scratch")[0] == 0
    expected = taught_label(finished_run)
    assert expected is not None
    np.testing.assert_array_equal(given[0], expected)


@pytest.mark.parametrize(
    ("changes", "arguments", "sentence"),
    [
        ({}, ("RUN", "--from-scrach"), "error: trialCommand: expected a run folder and nothing but --from-scratch"),
        ({}, ("missing",), "missing: not a run folder"),
        ({"trial_budget": 3}, ("RUN",), "error: 'trial_budget' is no label of the space 'tiny'"),
        ({"block9/fm": True}, ("RUN",), "error: 'block9/fm' is no label of the space 'tiny'"),
        ({"block1/dense_dim": 7}, ("RUN",), "error: 'block1/dense_dim' is 7, which is none of its choices"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_1(
    start: Any,
    finished_run: RunFolder,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    params = load_search_space(finished_run.job.space).random(np.random.default_rng(0)).params
    paths = [str(finished_run.path) if argument == "RUN" else argument for argument in arguments]
    assert start({**params, **changes}, *paths) == (1, [])
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_without_a_finite_score_the_trial_fails(
    start: Any, finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score = Score(log_loss=math.nan, auc=0.5, standard_error=math.nan, rows=9, stopped=False)
    monkeypatch.setattr(WeightSharingEvaluator, "evaluate", lambda *_: score)
    params = load_search_space(finished_run.job.space).random(np.random.default_rng(0)).params
    assert start(dict(params), finished_run.path) == (1, [])
    assert "is nan: expected a finite number" in capsys.readouterr().err


def test_a_run_without_supernet_is_refused(
    start: Any, copied_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_search_space(copied_run.job.space).random(np.random.default_rng(0)).params
    copied_run.weights.unlink()
    assert start(dict(params), copied_run.path) == (1, [])
    assert "weights.safetensors" in capsys.readouterr().err


def test_the_example_is_of_the_quickstart() -> None:
    space = load_search_space("quickstart")
    config = ExperimentConfig.load(EXAMPLE / "experiment.yml").canonical_copy()
    assert config.search_space == space.to_nni()
    run = (EXAMPLE / config.trial_command.split()[-1]).resolve()
    assert run == load_job(ROOT / "examples" / "quickstart" / "job.yaml").run_folder


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["TPE", "Evolution", "Random"])
def test_nnis_own_tuners_choose_architectures(experiment: Any, finished_run: RunFolder, tuner: str) -> None:
    space = load_search_space(finished_run.job.space)
    (experiment.folder / "search_space.json").write_text(space.to_nni_json())
    content = yaml.safe_load((EXAMPLE / "experiment.yml").read_text())
    module = "OMP_NUM_THREADS=1 python3 -m nasrec_automl.experiment.architecture_trial"
    assert content["trialCommand"].startswith(module)
    content |= {"trialCommand": f"{module} {finished_run.path}", "maxTrialNumber": 3}
    content["searchSpaceFile"] = "search_space.json"
    content["tuner"]["name"] = tuner
    experiment.file.write_text(yaml.safe_dump(content))
    experiment.nnictl("create", "--config", str(experiment.file), "--port", str(experiment.port))
    trials = experiment.until_done(seconds=150).trials()
    assert [trial.status for trial in trials] == ["SUCCEEDED"] * 3
    exported, best = experiment.folder / "trials.json", experiment.folder / "best.json"
    experiment.nnictl("experiment", "export", "--filename", str(exported), "--type", "json")
    done = run_warm(EXAMPLE / "best_architecture.py", exported, finished_run.job.space, best)
    assert done.returncode == 0, done.stderr
    chosen = load_architecture(best, space)
    assert f"log loss {make_evaluator(finished_run).evaluate(chosen).log_loss:.5f}, the best of 3" in done.stdout
