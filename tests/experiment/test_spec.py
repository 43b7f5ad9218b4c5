from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from nni.experiment.config import ExperimentConfig

from nasrec_automl.errors import JobError
from nasrec_automl.experiment.spec import write_experiment


def test_nni_accepts_it_and_its_paths_are_relative(job_file: Path) -> None:
    path = write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert str(job_file.parent) not in path.read_text()
    config = ExperimentConfig.load(path)
    config.validate()
    assert config.experiment_name == "fake"
    assert config.trial_concurrency == 1


def test_names_the_job_from_its_own_folder(job_file: Path) -> None:
    path = write_experiment(job_file, job_file.parent / "with space" / "experiment.yml")
    content = yaml.safe_load(path.read_text())
    assert content["tuner"]["classArgs"]["job"] == "../job.yaml"
    assert content["trialCommand"] == "python3 -m nasrec_automl.experiment.trial ../job.yaml"


def test_the_time_limit_of_a_trial_is_the_jobs(job_file: Path) -> None:
    path = write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert "maxTrialDuration" not in yaml.safe_load(path.read_text())
    job = yaml.safe_load(job_file.read_text())
    job["experiment"]["max_trial_duration"] = "90m"
    job_file.write_text(yaml.safe_dump(job))
    write_experiment(job_file, path)
    config = ExperimentConfig.load(path)
    config.validate()
    assert config.max_trial_duration in ("90m", 5400)


def test_a_bad_job_is_refused_and_nothing_written(job_file: Path) -> None:
    job_file.write_text("name: x\n")
    with pytest.raises(JobError, match="data: this field is required"):
        write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert not job_file.with_name("experiment.yml").exists()


def test_the_quickstarts_is_such_a_file(tmp_path: Path) -> None:
    quickstart = Path(__file__).parents[2] / "examples" / "quickstart"
    job = tmp_path / "job.yaml"
    job.write_bytes((quickstart / "job.yaml").read_bytes())
    written = write_experiment(job, tmp_path / "experiment.yml")
    assert (quickstart / "experiment.yml").read_text() == written.read_text()
