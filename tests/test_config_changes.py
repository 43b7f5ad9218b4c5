from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.config import load_job
from nasrec_automl.config_changes import read_changes, with_changes
from nasrec_automl.errors import JobError

JOB = "name: mine\nseed: 1\ndata: {source: synthetic, options: {rows: 4000}}\nsearch: {architectures: 8}\n"


def test_values_are_read_as_in_a_job_file() -> None:
    texts = ["seed=2", "name=a=b", "storage=", "data.defaults.dense=log", "search.objectives=[log_loss, macs]"]
    assert read_changes([*texts, "seed=3"]) == {
        "seed": 3,
        "name": "a=b",
        "storage": None,
        "data.defaults.dense": "log",
        "search.objectives": ["log_loss", "macs"],
    }


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("seed", "--set seed: expected KEY=VALUE, such as search.architectures=64"),
        ("=2", "--set =2: expected KEY=VALUE"),
        ("search..timeout=2m", "--set search..timeout=2m: expected KEY=VALUE"),
        ("search.objectives=[log_loss", r"--set search.objectives=[log_loss: not YAML (while parsing"),
        ("data={a: 1, a: 2}", "--set data={a: 1, a: 2}, line 1: 'a' is there twice"),
    ],
)
def test_a_change_of_another_form_is_named(text: str, naming: str) -> None:
    with pytest.raises(JobError) as error:
        read_changes([text])
    assert naming in str(error.value)


def test_what_is_not_named_stays() -> None:
    content: dict[str, Any] = {"seed": 1, "search": {"architectures": 8, "population": 4}, "retrain": None}
    changes = {"search.architectures": 16, "retrain.space": "mine", "data.options.rows": 10}
    assert with_changes(content, changes) == {
        "seed": 1,
        "search": {"architectures": 16, "population": 4},
        "retrain": {"space": "mine"},
        "data": {"options": {"rows": 10}},
    }
    assert content == {"seed": 1, "search": {"architectures": 8, "population": 4}, "retrain": None}


def test_a_later_change_sees_an_earlier_one() -> None:
    assert with_changes({}, {"data": {"source": "criteo"}, "data.split": "time"}) == {
        "data": {"source": "criteo", "split": "time"}
    }


def test_a_job_is_loaded_with_changes(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    job = load_job(path, {"name": "other", "seed": "1e3", "data.options.rows": 5000, "storage": "sqlite:///all.db"})
    assert (job.name, job.seed, job.data.options["rows"], job.search.architectures) == ("other", 1000, 5000, 8)
    assert job.run_folder == tmp_path / "runs" / "other"  # not the folder of the name that the file has
    assert job.storage == f"sqlite:///{tmp_path}/all.db"  # relative to the file, as its own paths are


@pytest.mark.parametrize(
    ("changes", "naming"),
    [
        ({"seed.more": 2}, "seed.more: seed is no section, but 1"),
        ({"data.options.rows.more": 2}, "data.options.rows.more: data.options.rows is no section, but 4000"),
        (
            {"search.architecture": 2},
            "job.yaml with search.architecture=2: search.architecture: no such field; there are architectures, ",
        ),
        (
            {"data.options.rows": None},
            "job.yaml with data.options.rows=None: data.options.rows: expected a number or a text, but it is None",
        ),
    ],
)
def test_a_wrong_change_is_named(tmp_path: Path, changes: dict[str, Any], naming: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    with pytest.raises(JobError) as error:
        load_job(path, changes)
    assert naming in str(error.value)
