"""The test part is read by the final stage, and by nothing before or after it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.cli import main
from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.export import export_run
from nasrec_automl.pipeline.named import retrain_named
from nasrec_automl.pipeline.rank import rank_scores
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES
from nasrec_automl.pipeline.tune import tune_supernet

SMALL: dict[str, Any] = {
    "supernet": {"epochs": 1},
    "search": {"architectures": 8, "population": 4, "verdict": {"architectures": 3}},
    "retrain": {"top_k": 1, "trials": 2, "max_epochs": 1},
    "rank": {"architectures": 3, "seeds": 1},
    "data": {"options": {"rows": 2000, "seed": 1, "fields": 4, "dense": 3}},
    "tune": {"trials": 1, "architectures": 3},
}
BEFORE, AFTER = ("supernet", "search", "retrain"), ("report",)

_watched: list[tuple[Path, list[Path]]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | Path):
        for folder, opened in _watched:
            path = Path(arguments[0]).absolute()
            if path.is_relative_to(folder):
                opened.append(path)


@cache
def _watch() -> None:
    """Once asked for: Python has no way to take a hook back, and every later `open` and `import` calls it."""
    sys.addaudithook(_note)


@contextmanager
def openings(folder: Path) -> Iterator[list[Path]]:
    """The files under a folder that this process opens, or tries to."""
    _watch()
    noted: tuple[Path, list[Path]] = (folder.absolute(), [])
    _watched.append(noted)
    try:
        yield noted[1]
    finally:
        _watched.remove(noted)


def holdout(run: RunFolder) -> Path:
    folder = run.data / Part.TEST
    assert folder.is_dir(), "the test part has a folder of its own"
    return folder


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> RunFolder:
    """A run up to the final stage, whose test part was taken away as soon as it was prepared."""
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("holdout"), **SMALL)))
    run.create()
    STAGES["data"].run(run)
    folder = holdout(run)
    folder.rename(run.path / "aside")
    with openings(folder) as opened:
        for stage in BEFORE:
            STAGES[stage].run(run)
        tune_supernet(run)
        rank_scores(run)
    assert opened == []
    return run


@pytest.fixture
def own(retrained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it for one test."""
    subprocess.run(["cp", "-a", str(retrained.path), str(tmp_path / "run")], check=True)
    return RunFolder(retrained.job.model_copy(update={"run_folder": tmp_path / "run"}))


def test_the_stages_are_all_here() -> None:
    assert list(STAGES) == ["data", *BEFORE, "final", *AFTER]


def test_final_says_that_the_test_part_is_missing(own: RunFolder) -> None:
    with openings(own.data / Part.TEST) as opened, pytest.raises(DataError, match=r"test\b.*: prepare the data"):
        STAGES["final"].run(own)
    assert opened
    assert not own.result.exists()


def test_nothing_but_final_opens_it_where_it_is_there(own: RunFolder) -> None:
    folder = own.data / Part.TEST
    (own.path / "aside").rename(folder)
    with openings(folder) as opened:
        retrain_named(own, "hand-mlp")
        assert opened == []
        STAGES["final"].run(own)
        assert opened
        opened.clear()
        STAGES["report"].run(own)
        export_run(own, "torch")
        for command in ("status", "report"):
            main([command, str(own.path)])
        STAGES["final"].run(own)  # done: it measures nothing again
        assert opened == []


def test_rows_of_it_need_leave(retrained: RunFolder) -> None:
    with pytest.raises(DataError, match="the test part is read once, by the final stage"):
        PreparedData.open(retrained.data).part(Part.TEST)
