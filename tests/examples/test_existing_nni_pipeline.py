"""The script of `examples/existing_nni_pipeline`; tests/experiment runs its experiment, and this on what it leaves."""

import json
from pathlib import Path

import numpy as np

from nasrec_automl.space import load_architecture, load_search_space
from tests.warm import run_warm

SCRIPT = Path(__file__).parents[2] / "examples" / "existing_nni_pipeline" / "best_architecture.py"


def test_the_lowest_log_loss_is_best_and_what_tuners_add_is_left_out(tmp_path: Path) -> None:
    space = load_search_space("quickstart")
    architectures = [space.random(np.random.default_rng(seed)) for seed in range(4)]
    values = ['{"default": 0.6, "auc": 0.9}', '{"default": 0.5, "auc": 0.7}', "NaN", "0.55"]
    trials = [
        {"parameter": {**architecture.params, "TRIAL_BUDGET": 3}, "value": value, "trialJobId": "a"}
        for architecture, value in zip(architectures, values, strict=True)
    ]
    (tmp_path / "trials.json").write_text(json.dumps(trials))
    done = run_warm(SCRIPT, tmp_path / "trials.json", "quickstart", tmp_path / "best.json")
    assert done.returncode == 0, done.stderr
    assert "log loss 0.50000, the best of 4" in done.stdout
    assert load_architecture(tmp_path / "best.json") == architectures[1]


def test_an_export_without_results_is_told(tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text("[]")
    done = run_warm(SCRIPT, tmp_path / "trials.json", "quickstart", tmp_path / "best.json")
    assert done.returncode == 2
    assert "trials.json: no trial with a result" in done.stderr
    assert not (tmp_path / "best.json").exists()
