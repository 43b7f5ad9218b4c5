from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from nni.experiment.config import ExperimentConfig

from nasrec_automl.errors import JobError
from nasrec_automl.experiment.launch import run_of
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
    assert content["trialCommand"] == "python3 -m nasrec_automl.experiment.trial"


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


def test_a_search_that_would_be_all_at_random_is_told_before_it_begins(
    job_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert not caplog.text
    job = yaml.safe_load(job_file.read_text())
    job["search"] = {**job.get("search", {}), "architectures": 8}
    job_file.write_text(yaml.safe_dump(job))
    write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert "search.architectures (8) does not exceed search.population" in caplog.text


def test_a_file_of_somebody_else_is_not_written_over(job_file: Path) -> None:
    path = job_file.with_name("experiment.yml")
    path.write_text("trialCommand: python3 mine.py\n")
    with pytest.raises(JobError, match=r"experiment\.yml: is there already, and no experiment that .* wrote"):
        write_experiment(job_file, path)
    assert path.read_text() == "trialCommand: python3 mine.py\n"
    path.unlink()
    for _ in range(2):  # its own it writes again
        assert ExperimentConfig.load(write_experiment(job_file, path))


def test_a_bad_job_is_refused_and_nothing_written(job_file: Path) -> None:
    job_file.write_text("name: x\n")
    with pytest.raises(JobError, match="data: this field is required"):
        write_experiment(job_file, job_file.with_name("experiment.yml"))
    assert not job_file.with_name("experiment.yml").exists()


def test_the_job_itself_is_never_written_over(job_file: Path) -> None:
    before = job_file.read_text()
    with pytest.raises(JobError, match=r"job\.yaml: is the job itself: name another file to write \(--output\)"):
        write_experiment(job_file, job_file)
    (job_file.parent / "link.yml").symlink_to(job_file)
    with pytest.raises(JobError, match="is the job itself"):
        write_experiment(job_file, job_file.parent / "link.yml")
    assert job_file.read_text() == before


def test_the_quickstarts_is_such_a_file(tmp_path: Path) -> None:
    quickstart = Path(__file__).parents[2] / "examples" / "quickstart"
    job = tmp_path / "job.yaml"
    job.write_bytes((quickstart / "job.yaml").read_bytes())
    written = write_experiment(job, tmp_path / "experiment.yml")
    assert (quickstart / "experiment.yml").read_text() == written.read_text()


def with_machines(job: Path, **changes: Any) -> Path:
    """The job on two machines; keyword arguments change it."""
    (job.parent / "id").write_text("a key")
    content = yaml.safe_load(job.read_text())
    machines = [
        {"host": "one", "user": "me", "ssh_key_file": "id"},
        {"host": "two", "user": "me", "port": 2222, "ssh_key_file": "id", "python_path": "/venv/bin"},
    ]
    content["experiment"] |= {"machines": machines, "nni_manager_ip": "10.0.0.1"}
    job.write_text(yaml.safe_dump({**content, "storage": "postgresql+psycopg2://me@db/studies", **changes}))
    return job


def test_nni_accepts_one_with_machines_and_its_paths_are_absolute(job_file: Path) -> None:
    config = ExperimentConfig.load(write_experiment(with_machines(job_file), job_file.with_name("experiment.yml")))
    config.validate()
    config = config.canonical_copy()
    service = config.training_service
    assert (service.platform, service.reuse_mode, service.nni_manager_ip) == ("remote", False, "10.0.0.1")
    key = str(job_file.with_name("id"))
    found = [(m.host, m.port, m.user, m.ssh_key_file, m.python_path) for m in service.machine_list]
    assert found == [("one", 22, "me", key, None), ("two", 2222, "me", key, "/venv/bin")]
    assert config.tuner.class_args["job"] == str(job_file)
    # NNI uploads it to each machine: at most 2000 files, and at least one.
    assert len(list(Path(service.trial_code_directory).iterdir())) == 1
    assert run_of(job_file.with_name("experiment.yml")).path == job_file.parent / "runs" / "fake"


def test_machines_need_a_database_server(job_file: Path) -> None:
    output = job_file.with_name("experiment.yml")
    for storage in (None, "sqlite:////shared/studies.db"):
        with pytest.raises(JobError, match=r"job\.yaml: storage: .*postgresql\+psycopg2://user@host/studies.*SQLite"):
            write_experiment(with_machines(job_file, storage=storage), output)
    assert not output.exists()


def test_a_key_that_is_not_there_is_named(job_file: Path) -> None:
    job = with_machines(job_file)
    job.with_name("id").unlink()
    output = job_file.with_name("experiment.yml")
    with pytest.raises(JobError, match=r"experiment\.machines\.0\.ssh_key_file: no such file, .*/id; .* me on one"):
        write_experiment(job, output)
    assert not output.exists()
