"""The tuner under a name of its own: `nnictl algo register`, in a folder that NNI has for the test alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nasrec_automl.cli import main
from nasrec_automl.pipeline.run_folder import RunFolder

META = Path(__file__).parents[2] / "examples" / "quickstart" / "tuner.yml"


@pytest.fixture
def nni_config(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(experiment.folder) / "nni-config"
    monkeypatch.setenv("NNI_CONFIG_DIR", str(folder))
    return folder


@pytest.mark.slow
def test_registers_works_by_name_and_leaves_again(experiment: Any, nni_config: Path, copied_run: RunFolder) -> None:
    experiment.nnictl("algo", "register", "--meta", str(META))
    assert "StageTuner" in experiment.nnictl("algo", "list")
    assert "NASRec" in (nni_config / "registered_algorithms.yml").read_text()

    main(["experiment", str(copied_run.path.parent / "job.yaml"), "--output", str(experiment.file)])
    content = yaml.safe_load(experiment.file.read_text())
    for argument, status, last_words in (
        ({}, "SUCCEEDED", ""),
        ({"jobs": 2}, "FAILED", "tuner.classArgs: no such argument: jobs; there are `job` and `optimize_mode`"),
    ):
        arguments = {**content["tuner"]["classArgs"], **argument}
        experiment.file.write_text(yaml.safe_dump({**content, "tuner": {"name": "NASRec", "classArgs": arguments}}))
        experiment.nnictl("create", "--config", str(experiment.file), "--port", str(experiment.port))
        manager = experiment.until_done()
        # All was done before: one trial shows the result.
        assert [trial.status for trial in manager.trials()] == [status]
        assert manager.last_words() == last_words
        experiment.nnictl("stop", "--all")
        experiment.until(lambda: not experiment.processes(), seconds=20)

    experiment.nnictl("algo", "unregister", "NASRec")
    assert "StageTuner" not in experiment.nnictl("algo", "list")
