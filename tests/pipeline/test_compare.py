"""Results of several runs beside each other."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nasrec_automl.config import load_job
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.compare import compare_runs
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder


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
    result = read_json(copied.result)
    write_json(copied.result, {**result, "test": {"log_loss": 0.4321, "auc": 0.8765}})
    return copied


def line(text: str, first: str) -> list[str]:
    (found,) = [line.split() for line in text.splitlines() if line.split()[:1] == [first]]
    return found


def test_each_run_has_a_line_and_each_setting_that_differs(copied_run: RunFolder, tmp_path: Path) -> None:
    job, result, winner = copied_run.job, read_json(copied_run.result), read_json(copied_run.final)["winner"]
    search = job.search.model_copy(update={"architectures": 21})
    second = other(copied_run, tmp_path / "second", name="second", seed=6, search=search)
    text = shown(copied_run, second)
    seconds = f"{sum(result['seconds'].values()):,.0f}"
    figures = [f"{result['validation']['log_loss']:.4f}", f"{result['test']['log_loss']:.4f}"]
    assert line(text, "tiny") == [
        *("tiny", winner, *figures, f"{result['test']['auc']:.4f}", f"{result['macs']:,}", seconds)
    ]
    assert line(text, "second")[2:5] == [figures[0], "0.4321", "0.8765"]
    assert line(text, "seed") == ["seed", "5", "6"]
    assert line(text, "search.architectures") == ["search.architectures", "20", "21"]
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


def test_runs_of_other_rows_do_not_compare(
    copied_run: RunFolder, tmp_path: Path, write_job: Callable[..., Path]
) -> None:
    rows = {"options": {"rows": 2000, "seed": 2, "fields": 4, "dense": 3}}
    fresh = RunFolder(load_job(write_job(tmp_path / "fresh", data=rows)))
    DataStage().run(fresh)
    second = other(copied_run, tmp_path / "2", data=fresh.job.data)
    subprocess.run(["rm", "-r", str(second.data)], check=True)
    assert "compare validation" in shown(copied_run, second), "nothing says that these are others"
    subprocess.run(["cp", "-a", str(fresh.data), str(second.data)], check=True)
    assert "their log losses do not compare" in shown(copied_run, second)


def test_a_run_without_a_result_is_named(copied_run: RunFolder, tmp_path: Path) -> None:
    second = other(copied_run, tmp_path / "2")
    second.result.unlink()
    with pytest.raises(RunFolderError, match=r"2: the run has no result yet; `nasrec-automl status .*2` says"):
        compare_runs([copied_run, second])
