"""The scripts of `examples/existing_optuna_study`, one after another on a finished run."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

from nasrec_automl.config import load_job
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.worker import share_work
from nasrec_automl.search import distributions
from nasrec_automl.space import load_search_space
from tests.warm import run_warm

EXAMPLE = Path(__file__).parents[2] / "examples" / "existing_optuna_study"


def script(name: str, *arguments: object) -> str:
    done = run_warm(EXAMPLE / f"{name}.py", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def other_study(url: str, run: RunFolder) -> optuna.Study:
    """A study of the same space on other data: four random architectures, the third of them the best."""
    space = load_search_space(run.job.space)
    study = optuna.create_study(study_name="old-search", storage=url)
    for number, value in enumerate([0.6, 0.5, 0.3, 0.4]):
        params = space.random(np.random.default_rng(number)).params
        study.add_trial(optuna.create_trial(params=params, distributions=distributions(space), value=value))
    return study


def test_the_scripts_one_after_another(copied_run: RunFolder, tmp_path: Path) -> None:
    job, url = copied_run.path.parent / "job.yaml", copied_run.job.storage_url
    old = other_study(f"sqlite:///{tmp_path / 'old.db'}", copied_run)

    warm = [f"sqlite:///{tmp_path / 'old.db'}", "old-search", url, "tiny-search", "--count", 2]
    assert "enqueued 2 architectures in tiny-search" in script("warm_start", *warm)
    assert "enqueued 0 architectures" in script("warm_start", *warm)
    study = optuna.load_study(study_name="tiny-search", storage=url)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [trial.user_attrs["warm_start"] for trial in waiting] == ["old-search, trial 2", "old-search, trial 3"]

    space = load_search_space(copied_run.job.space)
    measured, curious = (space.random(np.random.default_rng(seed)) for seed in (10, 11))
    wish = ["--wish", "block1/dense_op=dot_product"]
    for architecture, value in ((measured, ["--value", 0.9, *wish]), (curious, wish)):
        file = tmp_path / f"{architecture.key}.json"
        file.write_text(architecture.to_json())
        asked = script("own_trials", job, file, *value)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    scored = study.get_trials(states=(TrialState.COMPLETE,))
    target = len(scored) + len(waiting)
    assert f"{len(waiting)} trials wait: set search.architectures to {target} or more" in asked
    added = study.get_trials(states=(TrialState.COMPLETE,))[-1]
    assert (added.value, added.params) == (0.9, measured.params)

    content: dict[str, Any] = yaml.safe_load(job.read_text())
    content["search"]["architectures"] = target
    job.write_text(yaml.safe_dump(content))
    share_work(RunFolder(load_job(job)))
    done = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == target
    tried = [trial.params for trial in done if "warm_start" in trial.user_attrs]
    assert tried == [old.trials[2].params, old.trials[3].params]
    wishes = [trial.user_attrs["wish"] for trial in done if "wish" in trial.user_attrs]
    assert wishes.count("block1/dense_op=dot_product") == 2
    with pytest.raises(AssertionError, match="no choice of the space"):
        script("own_trials", job, file, "--wish", "block1/dense_op=dot")
    assert curious.key in [space.from_params(trial.params).key for trial in done]

    for sampler in ("tpe", "random", "nsga2"):
        assert f"after 3 trials of {sampler}" in script("swap_sampler", job, "--sampler", sampler, "--trials", 3)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == target + 9

    printed = script("read_results", url, "tiny-search")
    assert f"{study.best_trial.value:.4f}"[:5] in printed
    assert "block1/dense_op" in printed
