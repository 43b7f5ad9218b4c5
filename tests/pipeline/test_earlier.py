"""A run that continues another on appended data."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from nasrec_automl.config import DataConfig
from nasrec_automl.data.appending import append
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import CheckpointError, RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.earlier import earlier_supernet, earlier_winner
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.stages import STAGES
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.space import load_search_space
from tests.pipeline.changed import changed


def continuing(run: RunFolder, folder: Path, **supernet: Any) -> RunFolder:
    """A job that goes on with `run` after more of its rows came."""
    rows = make_synthetic(**{**run.job.data.options, "rows": 2000, "seed": 5})
    append(rows, run.data, folder / "data")
    job = run.job.model_copy(
        update={
            "run_folder": folder / "next",
            "continues": run.path,
            "data": DataConfig(source="prepared", input=folder / "data"),
            "supernet": run.job.supernet.model_copy(update=supernet),
        }
    )
    fresh = RunFolder(job)
    fresh.create()
    return fresh


def test_the_supernet_starts_from_the_earlier_ones_weights(finished_run: RunFolder, tmp_path: Path) -> None:
    run = continuing(finished_run, tmp_path, learning_rate=1e-30, epochs=1)
    assert PreparedData.open(run.data).rows("train") > PreparedData.open(finished_run.data).rows("train")
    for name in ("data", "supernet"):
        STAGES[name].run(run)
    before, after = load_file(finished_run.weights), load_file(run.weights)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].equal(tensor), name


def test_the_search_scores_the_earlier_winner_first(
    finished_run: RunFolder, copied_run: RunFolder, tmp_path: Path
) -> None:
    earlier = copied_run
    run = continuing(earlier, tmp_path, epochs=1)
    space = load_search_space(run.job.space)
    designs = [design.key for design in hand_designs(space).values()]
    found = (candidate.architecture for candidate in candidates(finished_run).values())
    winner = next(one for one in found if one.key not in designs)
    (earlier.best / "architecture.json").write_text(winner.to_json())
    assert earlier_winner(run, space) == [winner]
    for name in ("data", "supernet"):
        STAGES[name].run(run)
    gone = replace(run, job=run.job.model_copy(update={"continues": tmp_path / "gone"}))
    assert earlier_winner(gone, space) == [], "it may be scored already"
    expected = [*designs, winner.key]
    SearchStage().run(run, count=len(expected))
    assert [trial.user_attrs["nasrec:key"] for trial in begun_study(run, "search").trials] == expected


def test_the_noted_winner_stays_a_candidate_when_that_run_gets_another(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = load_search_space(copied_run.job.space)
    noted, new = (space.random(np.random.default_rng(seed)) for seed in (0, 1))
    write_json(copied_run.top, {**read_json(copied_run.top), "earlier": [dict(noted.params)]})
    monkeypatch.setattr("nasrec_automl.pipeline.search.earlier_winner", lambda *_: [new])
    grown = changed(copied_run, "search", architectures=copied_run.job.search.architectures + 1)
    SearchStage().run(grown)
    assert read_json(grown.top)["earlier"] == [dict(noted.params)]


def test_what_cannot_be_continued_is_named(
    finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.pipeline.supernet.teachers", lambda *_: pytest.fail("trained teachers first"))
    run = continuing(finished_run, tmp_path)
    STAGES["data"].run(run)
    nowhere = replace(run, job=run.job.model_copy(update={"continues": tmp_path}))
    with pytest.raises(RunFolderError, match="not a run folder"):
        STAGES["supernet"].run(nowhere)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(finished_run.path / "job.json", unfinished)
    with pytest.raises(CheckpointError, match="its supernet is not trained yet"):
        STAGES["supernet"].run(replace(run, job=run.job.model_copy(update={"continues": unfinished})))
    wider = replace(run, job=run.job.model_copy(update={"embedding_dim": run.job.embedding_dim + 8}))
    with pytest.raises(CheckpointError, match="embedding width"):
        STAGES["supernet"].run(wider)


def test_rows_that_were_prepared_anew_under_the_same_path_are_refused(
    finished_run: RunFolder, copied_run: RunFolder, tmp_path: Path
) -> None:
    """Compared with the folder of today, they would be compared with themselves."""
    prepared, earlier = tmp_path / "prepared", copied_run.path
    shutil.copytree(finished_run.data, prepared)
    data = DataConfig(source="prepared", input=prepared)
    before = RunFolder(finished_run.job.model_copy(update={"run_folder": earlier, "data": data}))
    before.create()
    run = RunFolder(before.job.model_copy(update={"run_folder": tmp_path / "next", "continues": earlier}))
    assert len(earlier_supernet(run)) == 1
    shutil.rmtree(prepared)
    prepare(make_synthetic(**{**finished_run.job.data.options, "seed": 6}), prepared)
    with pytest.raises(CheckpointError, match=r"did not grow from the rows that the supernet of .*run was trained"):
        earlier_supernet(run)


def test_another_layer_norm_is_named(finished_run: RunFolder, tmp_path: Path) -> None:
    assert finished_run.job.supernet.layer_norm
    run = continuing(finished_run, tmp_path, layer_norm=False)
    STAGES["data"].run(run)
    message = (
        f"supernet.layer_norm: the job says false, but the supernet of {finished_run.path}, which it continues, was "
        "trained with true; set it to true, or leave `continues` out"
    )
    with pytest.raises(CheckpointError, match=re.escape(message)):
        STAGES["supernet"].run(run)
    same = run.job.supernet.model_copy(update={"layer_norm": True, "epochs": 1})
    STAGES["supernet"].run(replace(run, job=run.job.model_copy(update={"supernet": same})))
