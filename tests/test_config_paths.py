"""Paths of a job, where the project that they lie in has moved. What a job file makes of them: `test_config.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nasrec_automl.config import Job, load_job
from nasrec_automl.config_paths import moved

JOB = """
name: tiny
space: space.yaml
continues: runs/before
storage: sqlite:///studies.db
data: {source: table, input: [clicks/a.csv, clicks/b.csv], schema: schema.yaml}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in ("clicks/a.csv", "clicks/b.csv", "schema.yaml", "space.yaml", "studies.db", "runs/before/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "job.yaml").write_text(JOB)
    (folder / "runs" / "tiny").mkdir()
    return folder


def in_project(job: Job, folder: Path) -> bool:
    """Whether all paths lead there."""
    data = job.data
    assert isinstance(data.input, tuple)
    paths = [*data.input, data.table_schema, job.space, job.continues, (job.storage or "").removeprefix("sqlite:///")]
    return all(Path(str(path)).is_relative_to(folder) for path in paths)


@pytest.mark.parametrize("way", [shutil.move, shutil.copytree])
def test_what_moved_with_the_run_folder_is_there(way: object, project: Path) -> None:
    """Of a copy too: its studies are no longer those of the original."""
    job, there = load_job(project / "job.yaml"), project.parent / "elsewhere" / "project"
    assert callable(way)
    way(project, there)
    found = moved(job, there / "runs" / "tiny")
    assert found.run_folder == there / "runs" / "tiny"
    assert in_project(found, there)
    assert found == load_job(there / "job.yaml")


def test_what_stayed_is_where_it_was(project: Path) -> None:
    job, there = load_job(project / "job.yaml"), project.parent / "elsewhere"
    (project / "runs" / "tiny").rename(there)
    found = moved(job, there)
    assert found.run_folder == there
    assert in_project(found, project)


def test_a_folder_that_did_not_move_has_its_own_job(project: Path) -> None:
    job = load_job(project / "job.yaml")
    assert moved(job, job.run_folder) is job


def test_other_databases_stay_what_they_are(project: Path) -> None:
    text = JOB.replace("sqlite:///studies.db", "postgresql+psycopg2://user:secret@host/studies")
    (project / "job.yaml").write_text(text)
    job = load_job(project / "job.yaml")
    assert moved(job, project / "runs" / "other").storage == job.storage
