"""Input files that change after they were read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nasrec_automl.config import load_job
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from tests.data.readers.rows import write_public_sets

Write = Callable[..., Path]


def write_rows(path: Path, rows: int) -> None:
    path.write_text("\n".join(["y,c", *(f"{row % 2},{row % 5}" for row in range(rows))]))


@pytest.fixture
def run(tmp_path: Path, write_job: Write) -> RunFolder:
    for name in ("day_1.csv", "day_2.csv"):
        write_rows(tmp_path / name, 300)
    (tmp_path / "schema.yaml").write_text("{label: y, categorical: {c: }}")
    table = {"source": "table", "input": "day_*.csv", "schema": "schema.yaml", "options": {}}
    run = RunFolder(load_job(write_job(tmp_path, data=table)))
    run_job(run, (DataStage(),))
    return run


def warned(run: RunFolder, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    run_job(run, (DataStage(),))
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_files_that_stay_are_not_spoken_of(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read_json(run.input_files)) == 2
    assert warned(run, caplog) == []
    run.input_files.unlink()  # as of data that were prepared before
    assert warned(run, caplog) == []


def test_a_changed_file_is_named_and_the_run_keeps_its_rows(
    run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(tmp_path / "day_2.csv", 500)
    (line,) = warned(run, caplog)
    assert line.startswith(f"{tmp_path / 'day_2.csv'} has changed since the data were prepared; the run keeps the rows")
    assert "another run_folder" in line
    assert "--append" in line
    assert warned(run, caplog) == [line]


def test_a_file_of_the_same_size_has_another_time(
    run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.utime(tmp_path / "day_1.csv", (1, 1))
    (line,) = warned(run, caplog)
    assert "day_1.csv has changed" in line


def test_files_that_are_gone_or_new_are_named_too(
    run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(tmp_path / "day_3.csv", 20)
    (line,) = warned(run, caplog)
    assert "day_3.csv is new since" in line
    for name in ("day_1.csv", "day_2.csv", "day_3.csv"):
        (tmp_path / name).unlink()
    (line,) = warned(run, caplog)
    assert "day_1.csv is gone since the data were prepared (one of 2 files that are not as they were); the run" in line
    (tmp_path / "schema.yaml").unlink()
    assert warned(run, caplog) == [line]


def test_a_file_that_all_others_are_read_with_counts_too(
    tmp_path: Path, write_job: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write_public_sets(tmp_path)
    run = RunFolder(load_job(write_job(tmp_path, data={"source": "kdd12", "input": "kdd12", "options": {}})))
    assert warned(run, caplog) == warned(run, caplog) == []
    os.utime(tmp_path / "kdd12" / "userid_profile.txt", (1, 1))
    (line,) = warned(run, caplog)
    assert line.startswith(f"{tmp_path / 'kdd12' / 'userid_profile.txt'} has changed since")


def test_generated_and_prepared_rows_have_no_files(
    tmp_path: Path, write_job: Write, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(load_job(write_job(tmp_path)))
    assert warned(run, caplog) == warned(run, caplog) == []
    prepared = {"source": "prepared", "input": str(run.data), "options": {}}
    other = RunFolder(load_job(write_job(tmp_path / "other", data=prepared)))
    assert warned(other, caplog) == []
    assert not other.input_files.exists()
