from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.config import DataConfig, Job, load_job
from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.pipeline.run_folder import RunFolder


def make(tmp_path: Path, **changes: object) -> RunFolder:
    fields = {"name": "mine", "run_folder": tmp_path / "run", "data": DataConfig(source="synthetic")}
    return RunFolder(Job(**{**fields, **changes}))


def test_paths_lie_in_the_folder(tmp_path: Path) -> None:
    run = make(tmp_path)
    paths = [run.data, run.supernet, run.weights, run.top, run.retrained, run.best, run.result, run.report]
    assert len({*paths, run.progress("search")}) == 9
    assert all(path.is_relative_to(run.path) for path in paths)
    assert run.best == tmp_path / "run" / "best"
    assert run.result.name == "result.json"
    assert run.report.name == "report.html"


def test_prepared_data_stay_where_they_are(tmp_path: Path) -> None:
    run = make(tmp_path, data=DataConfig(source="prepared", input=tmp_path / "prepared"))
    assert run.data == tmp_path / "prepared"


def test_a_folder_is_opened_again_also_where_it_was_moved_to(tmp_path: Path) -> None:
    run = make(tmp_path, seed=7)
    run.create()
    assert RunFolder.open(run.path) == run
    moved = tmp_path / "moved"
    run.path.rename(moved)
    opened = RunFolder.open(str(moved))
    assert opened.path == moved
    assert opened.job.seed == 7


@pytest.mark.parametrize(
    ("search", "changes", "expected"),
    [
        ({}, {"population": 32}, {"tournament": 16}),
        ({"tournament": 5}, {"population": 32}, {"tournament": 5}),
        ({}, {"objectives": ["log_loss", "macs"]}, {"sampler": "nsga2"}),
        ({"objectives": ["log_loss", "macs"]}, {"objectives": ["log_loss"]}, {"sampler": "evolution"}),
        ({"sampler": "tpe"}, {"objectives": ["log_loss", "macs"]}, {"sampler": "tpe"}),
    ],
)
def test_what_follows_from_a_value_follows_from_another_one_too(
    tmp_path: Path, search: dict[str, Any], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    run = make(tmp_path, search=search)
    run.create()
    assert RunFolder.open(run.path) == run
    changed = load_job(run.path / "job.json", {f"search.{name}": value for name, value in changes.items()})
    assert {name: getattr(changed.search, name) for name in expected} == expected


def test_a_run_is_opened_by_its_job_file_too(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: tiny\nrun_folder: here\ndata: {source: synthetic}\n")
    assert RunFolder.open(job).path == tmp_path / "here"


def test_another_folder_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder; expected one that `nasrec-automl run JOB` made"):
        RunFolder.open(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunFolderError, match=f"{tmp_path / 'run'}: cannot write the run folder"):
        make(tmp_path).create()
    assert (tmp_path / "run").read_text() == "a file"


def test_a_stage_is_held_to_its_settings(tmp_path: Path) -> None:
    run = make(tmp_path)
    section = {"supernet.epochs": 1, "seed": 3, "space": {"dims": (1, 2)}, "path": Path("x")}
    run.claim("supernet", section)
    run.claim("supernet", dict(reversed(section.items())))
    with pytest.raises(
        JobError, match=r"supernet\.epochs: the supernet stage in .* started with 1, but the job says 2"
    ):
        run.claim("supernet", {**section, "supernet.epochs": 2})
    with pytest.raises(JobError, match=r"seed: .*with 3, but the job says None"):
        run.claim("supernet", {key: value for key, value in section.items() if key != "seed"})
    with pytest.raises(JobError, match=r"warm_up: .*with None, but the job says 0\.1"):
        run.claim("supernet", {**section, "warm_up": 0.1})
    run.claim("supernet", section)
    run.claim("search", {"seed": 4})


def test_what_differs_inside_a_setting_is_named_alone(tmp_path: Path) -> None:
    run = make(tmp_path)
    dropout = {"low": 0.0, "high": 0.6}
    run.claim("retrain", {"space": {"name": "tiny", "blocks": 3}, "retrain.space.dropout": dropout, "pruner": None})
    for name, changed, message in (
        ("space", {"name": "mine", "blocks": 3}, r"space\.name: .* with 'tiny', but the job says 'mine'"),
        ("retrain.space.dropout", {**dropout, "high": 0.5}, r"retrain\.space\.dropout\.high: .* 0\.6, .* says 0\.5"),
        ("retrain.space.dropout", 0.1, r"retrain\.space\.dropout: .* with \{'low': 0\.0, 'high': 0\.6\}, .* says 0\.1"),
    ):
        with pytest.raises(JobError, match=f"^{message}"):
            run.claim("retrain", {**(run.noted("retrain") or {}), name: changed})
    run.claim("retrain", {"space": {"name": "tiny", "blocks": 3, "more": None}, "retrain.space.dropout": dropout})
    without = {**(run.noted("retrain") or {}), "more": {"a": None, "b": {"c": None}}}
    run.claim("retrain", without)  # as an earlier version noted it
    with pytest.raises(JobError, match=r"^more\.b\.c: .* with None, but the job says 2"):
        run.claim("retrain", {**without, "more": {"b": {"c": 2}}})
