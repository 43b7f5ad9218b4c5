"""Results of several runs beside each other."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.compare import compare_runs
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.final import measured_rows
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.pipeline.changed import changed


def shown(*runs: RunFolder, width: int = 120) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(compare_runs(runs))
    return console.export_text()


def other(run: RunFolder, folder: Path, **changes: Any) -> RunFolder:
    """A copy of a run, with another result, under a job that differs."""
    subprocess.run(["cp", "-a", str(run.path), str(folder)], check=True)
    job = run.job.model_copy(update={"run_folder": folder, **changes})
    copied = RunFolder(job)
    copied.create()
    shutil.rmtree(folder / "stages")  # where the settings of the first run are noted
    result = read_json(copied.result)
    write_json(copied.result, {**result, "test": {"log_loss": 0.4321, "auc": 0.8765}})
    return copied


def line(text: str, first: str) -> list[str]:
    (found,) = [line.split() for line in text.splitlines() if line.split()[:1] == [first]]
    return found


def test_each_run_has_a_line_and_each_setting_that_differs(copied_run: RunFolder, tmp_path: Path) -> None:
    job, result, winner = copied_run.job, read_json(copied_run.result), read_json(copied_run.final)["winner"]
    supernet = job.supernet.model_copy(update={"epochs": 3})
    second = other(copied_run, tmp_path / "second", name="second", seed=6, supernet=supernet)
    text = shown(copied_run, second)
    seconds = f"{sum(result['seconds'].values()):,.0f}"
    figures = [f"{result['validation']['log_loss']:.4f}", f"{result['test']['log_loss']:.4f}"]
    assert line(text, "tiny") == [
        *("tiny", winner, *figures, f"{result['test']['auc']:.4f}", f"{result['macs']:,}", seconds)
    ]
    assert line(text, "second")[2:5] == [figures[0], "0.4321", "0.8765"]
    assert line(text, "seed") == ["seed", "5", "6"]
    assert line(text, "supernet.epochs") == ["supernet.epochs", "2", "3"]
    settings = text[text.index("setting") :]
    assert not any(name in settings for name in ("run_folder", "storage", "search.population", "data.source"))
    assert "compare validation" in text


def test_runs_of_one_name_go_by_their_folders(copied_run: RunFolder, tmp_path: Path) -> None:
    first, second = other(copied_run, tmp_path / "1"), other(copied_run, tmp_path / "2")
    text = shown(first, second)
    assert line(text, "1")
    assert line(text, "2")
    assert "setting" not in text
    (tmp_path / "elsewhere").mkdir()
    third = other(copied_run, tmp_path / "elsewhere" / "2")
    text = shown(copied_run, second, third, width=300)
    assert line(text, str(second.path))
    assert line(text, str(third.path))


def measured_on(run: RunFolder, folder: Path, write_job: Callable[..., Path], data: dict[str, Any]) -> RunFolder:
    """A copy of a run as if it had ended with data that are read so."""
    fresh = RunFolder(load_job(write_job(folder / "fresh", data=data)))
    DataStage().run(fresh)
    second = other(run, folder / "2")
    shutil.rmtree(second.data)
    shutil.copytree(fresh.data, second.data)
    measured = measured_rows(PreparedData.open(second.data))
    write_json(second.final, {**read_json(second.final), "measured_rows": measured})
    return second


def test_runs_of_other_rows_do_not_compare(
    copied_run: RunFolder, tmp_path: Path, write_job: Callable[..., Path]
) -> None:
    rows = {"options": {"rows": 2000, "seed": 2, "fields": 4, "dense": 3}}
    second = measured_on(copied_run, tmp_path, write_job, rows)
    assert "their log losses do not compare" in shown(copied_run, second)


def test_the_same_rows_that_are_read_in_another_way_compare(
    copied_run: RunFolder, tmp_path: Path, write_job: Callable[..., Path]
) -> None:
    second = measured_on(copied_run, tmp_path, write_job, {"hash_above": 5})
    assert PreparedData.open(second.data).fingerprint != PreparedData.open(copied_run.data).fingerprint
    assert "compare validation" in shown(copied_run, second)


def test_rows_and_studies_may_be_gone(copied_run: RunFolder, tmp_path: Path) -> None:
    second = tmp_path / "2"
    subprocess.run(["cp", "-a", str(copied_run.path), str(second)], check=True)
    before = shown(copied_run, RunFolder.open(second), width=300)
    for left in (second / "data", second / "supernet"):
        shutil.rmtree(left)
    (second / "studies.db").unlink()
    assert shown(copied_run, RunFolder.open(second), width=300) == before


def test_validation_of_other_parts_does_not_compare(copied_run: RunFolder, tmp_path: Path) -> None:
    second = other(copied_run, tmp_path / "2")
    final = read_json(second.final)
    write_json(second.final, {**final, "chosen_on": ["search", *final["chosen_on"]]})
    assert "Validation does not compare" in shown(copied_run, second)


def test_a_run_without_a_result_is_named(copied_run: RunFolder, tmp_path: Path) -> None:
    second = other(copied_run, tmp_path / "2")
    grown = changed(second, "search", architectures=40)
    with pytest.raises(RunFolderError, match=r"2: the run has more to do since its result; `nasrec-automl status"):
        compare_runs([copied_run, grown])
    second.result.unlink()
    with pytest.raises(RunFolderError, match=r"2: the run has no result yet; `nasrec-automl status .*2` says"):
        compare_runs([copied_run, second])


def test_a_job_that_was_edited_since_says_nothing_of_a_result(copied_run: RunFolder, tmp_path: Path) -> None:
    second = other(copied_run, tmp_path / "2")
    assert "setting" not in shown(second, changed(copied_run, "supernet", epochs=5))
