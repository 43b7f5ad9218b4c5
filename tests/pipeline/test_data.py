"""The stage that prepares data."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nasrec_automl.config import Job, load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import DataError, JobError
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.status import run_status

Write = Callable[..., Path]


def open_run(path: Path) -> RunFolder:
    return RunFolder(load_job(path))


def test_raw_data_are_prepared_once(tmp_path: Path, write_job: Write) -> None:
    run, stage = open_run(write_job(tmp_path)), DataStage()
    assert stage.units(run) == (0, 1)
    assert stage.run(run) == {}
    assert stage.units(run) == (1, 1)
    data = PreparedData.open(run.data)
    assert data.name == "synthetic"
    assert len(data.schema().dense) == 3
    assert data.schema().num_fields == 4
    assert sum(part.rows for part in data.description.parts.values()) == 6000
    progress = read_progress(run.progress("data"))
    assert progress is not None
    assert (progress.done, progress.note) == (1, "synthetic, 6,000 rows")
    before = (run.data / "dataset.json").stat().st_mtime_ns
    stage.run(run)
    assert (run.data / "dataset.json").stat().st_mtime_ns == before


def test_prepared_data_stay_where_they_are(tmp_path: Path, write_job: Write, finished_run: RunFolder) -> None:
    run = open_run(write_job(tmp_path, data={"source": "prepared", "input": str(finished_run.data), "options": {}}))
    assert DataStage().is_done(run)
    DataStage().run(run)
    assert run.data == finished_run.data
    assert not (run.path / "data").exists()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"split": "time"}, "data.split"),
        ({"seed": 7}, "data.seed"),
        ({"max_rejected": 0.5}, "data.max_rejected"),
        ({"options": {"rows": 50}}, "data.options"),
        ({"split": "given", "validation": "a", "test": "b"}, "data.validation"),
    ],
)
def test_what_decides_how_data_are_prepared_is_refused_of_prepared_ones(
    tmp_path: Path, write_job: Write, finished_run: RunFolder, asked: dict[str, Any], named: str
) -> None:
    prepared = {"source": "prepared", "input": str(finished_run.data), "options": {}}
    run = open_run(write_job(tmp_path, data={**prepared, **asked}))
    with pytest.raises(JobError, match=rf"^{named}: .*{finished_run.data} are prepared already .split random, seed"):
        run_job(run, (DataStage(),))
    assert not (run.path / "job.json").exists()


def test_prepared_data_may_be_called_what_they_are(tmp_path: Path, write_job: Write, finished_run: RunFolder) -> None:
    prepared = {"source": "prepared", "input": str(finished_run.data), "options": {}}
    for own in ({}, {"split": "random"}, {"seed": 2018, "max_rejected": 0.001}):
        DataStage().check(open_run(write_job(tmp_path, data={**prepared, **own})))
    # Earlier versions let it pass: what they began goes on.
    run = open_run(write_job(tmp_path, data={**prepared, "split": "time"}))
    run.claim("data", DataStage().settings(run))
    DataStage().check(run)


def test_what_was_prepared_is_held_to_its_settings_whatever_the_job_says_now(
    tmp_path: Path, write_job: Write, finished_run: RunFolder
) -> None:
    DataStage().run(open_run(write_job(tmp_path)))
    for changes in ({"source": "prepared", "input": "nowhere", "options": {}}, {"seed": 7}):
        with pytest.raises(JobError, match=r"data\.\w+: the data stage"):
            DataStage().run(open_run(write_job(tmp_path, data=changes)))
    DataStage().run(open_run(write_job(tmp_path)))
    # And so is a folder that was prepared elsewhere.
    elsewhere = {"source": "prepared", "input": str(finished_run.data), "options": {}}
    DataStage().run(open_run(write_job(tmp_path / "other", data=elsewhere)))
    with pytest.raises(JobError, match=r"data\.\w+: the data stage"):
        DataStage().run(open_run(write_job(tmp_path / "other")))


def test_without_a_split_the_schemas_column_divides(tmp_path: Path, write_job: Write) -> None:
    folds = ["train"] * 300 + ["validation"] * 100 + ["test"] * 60
    lines = ["y,c,fold", *(f"{row % 2},{row % 5},{fold}" for row, fold in enumerate(folds))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    (tmp_path / "schema.yaml").write_text("{label: y, categorical: {c: }, split: fold}")
    table = {"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}}
    with pytest.raises(DataError, match="but the split asked for is random"):
        DataStage().run(open_run(write_job(tmp_path, data={**table, "split": "random"})))
    run = open_run(write_job(tmp_path, data=table))
    DataStage().run(run)
    data = PreparedData.open(run.data)
    assert (data.description.split.kind, data.rows(Part.TEST)) == ("given", 60)
    with pytest.raises(JobError, match=r"data\.split: the data stage .* was started with None"):
        DataStage().run(open_run(write_job(tmp_path, data={**table, "split": "random"})))


def test_stopped_before_anything_was_prepared_it_takes_other_settings(
    tmp_path: Path, write_job: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("nasrec_automl.pipeline.data.prepare", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            DataStage().run(open_run(write_job(tmp_path)))
    run = open_run(write_job(tmp_path, data={"seed": 7}))
    DataStage().run(run)
    assert PreparedData.open(run.data).description.split.seed == 7


def test_a_folder_that_holds_no_prepared_data_is_named(tmp_path: Path, write_job: Write) -> None:
    run = open_run(write_job(tmp_path, data={"source": "prepared", "input": "nowhere", "options": {}}))
    with pytest.raises(DataError, match="nowhere: expected a prepared data set"):
        DataStage().run(run)
    run = open_run(write_job(tmp_path / "b", data={"source": "prepared", "options": {}}))
    with pytest.raises(DataError, match=r"data\.input: a prepared data set needs the path of its folder"):
        DataStage().run(run)


def test_another_source_or_option_is_refused_where_data_are_prepared(tmp_path: Path, write_job: Write) -> None:
    DataStage().run(open_run(write_job(tmp_path)))
    with pytest.raises(JobError, match=r"data\.seed: the data stage .* was started with"):
        DataStage().run(open_run(write_job(tmp_path, data={"seed": 1})))


def test_tables_are_made_as_the_job_says(tmp_path: Path, write_job: Write) -> None:
    data = {"hash_above": 15, "fields": {"field2": {"compositional": 4}, "field1": {"max_table_size": 9}}}
    run = open_run(write_job(tmp_path, data=data))
    DataStage().run(run)
    first, second, *others = PreparedData.open(run.data).schema().fields
    assert (first.table_size, first.tables) == (9, (9,))
    assert second.table_size > 15, "the cap is on the rows of plain tables"
    assert sum(second.tables) < second.table_size
    assert [field.table_size for field in others] == [15, 15]


def test_defaults_of_a_job_are_for_all_fields(tmp_path: Path, write_job: Write) -> None:
    data = {
        "defaults": {"categorical": {"kind": "hash", "max_table_size": 9}, "dense": {"flag_missing": True}},
        "fields": {"field2": {"max_table_size": 7}},
    }
    run = open_run(write_job(tmp_path, data=data))
    DataStage().run(run)
    prepared = PreparedData.open(run.data)
    assert [field.table_size for field in prepared.schema().fields] == [9, 7, 9, 9]
    assert prepared.schema().dense[:2] == ("dense1", "dense1_missing")
    rarer = {"categorical": {"kind": "hash", "max_table_size": 9, "min_count": 4}, "dense": {"flag_missing": True}}
    with pytest.raises(JobError, match=r"data\.defaults\.categorical\.min_count: .* with None, but the job says 4"):
        DataStage().check(open_run(write_job(tmp_path, data={**data, "defaults": rarer})))


def test_defaults_of_a_table_stand_in_its_schema_or_in_the_job(tmp_path: Path, write_job: Write) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["y,a,b,n", *(f"{i % 2},{i % 5},{i % 7},{i}" for i in range(400))]))
    schema = tmp_path / "schema.yaml"
    schema.write_text("{label: y, categorical: {a: , b: {min_count: 1}}, dense: {n: }, defaults: {dense: none}}")
    table = {"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}}
    rare = {**table, "defaults": {"categorical": {"min_count": 300}}}
    run = open_run(write_job(tmp_path, data=rare))
    DataStage().run(run)
    prepared = PreparedData.open(run.data)
    assert [field.table_size for field in prepared.schema().fields] == [2, 8], "what the schema says of one field stays"
    assert prepared.preprocessing.dense[0].transform == "none"
    schema.write_text("{label: y, categorical: {a: , b: {min_count: 1}}, dense: {n: none}}")
    DataStage().check(open_run(write_job(tmp_path, data=rare)))  # the same, said otherwise
    schema.write_text("{label: y, categorical: {a: , b: {min_count: 1}}, dense: {n: }, defaults: {dense: quantile}}")
    with pytest.raises(JobError, match=r"data\.schema\.dense\.n\.transform: .* with 'none', .* says 'quantile'"):
        DataStage().check(open_run(write_job(tmp_path, data=rare)))
    schema.write_text("{label: y, categorical: {a: {min_count: 1}, b: {min_count: 1}}, dense: {n: none}}")
    with pytest.raises(JobError, match=r"data\.schema\.categorical\.a\.min_count: .* with 300, .* says 1"):
        DataStage().check(open_run(write_job(tmp_path, data=rare)))
    schema.write_text("{label: y, categorical: {a: , b: {min_count: 1}}, dense: {n: none}}")
    with pytest.raises(JobError, match=r"data\.defaults\.categorical\.min_count: .* with 300"):
        DataStage().check(open_run(write_job(tmp_path, data=table)))


def test_defaults_of_a_job_may_hash_all_fields_into_as_many_rows_as_the_cap(tmp_path: Path, write_job: Write) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["y,a,b", *(f"{i % 2},{i % 5},{i % 9}" for i in range(400))]))
    (tmp_path / "schema.yaml").write_text("{label: y, categorical: {a: , b: }}")
    hashed = {"hash_above": 50, "defaults": {"categorical": {"kind": "hash"}}}
    table = {"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}}
    for data, sizes in ((hashed, [50] * 4), ({**table, **hashed}, [50] * 2)):
        run = open_run(write_job(tmp_path, data=data, run_folder=f"of_{data.get('source')}"))
        DataStage().run(run)
        assert [field.table_size for field in PreparedData.open(run.data).schema().fields] == sizes


def test_data_of_before_there_were_defaults_go_on(tmp_path: Path, write_job: Write) -> None:
    run, stage = open_run(write_job(tmp_path)), DataStage()
    settings = stage.settings(run)
    assert settings.pop("data.defaults")
    run.claim("data", settings)
    stage.check(run)


def test_an_unknown_field_is_named(tmp_path: Path, write_job: Write) -> None:
    run = open_run(write_job(tmp_path, data={"fields": {"user": {"compositional": 4}}}))
    with pytest.raises(DataError, match="synthetic has no categorical field 'user'; the fields are field1, field2"):
        DataStage().run(run)


def test_an_unknown_source_is_named(tmp_path: Path, write_job: Write) -> None:
    with pytest.raises(DataError, match="no data source 'nothing'; the sources are avazu, criteo, flights"):
        DataStage().run(open_run(write_job(tmp_path, data={"source": "nothing"})))


def test_a_table_is_read_with_its_schema_and_bad_rows_are_kept_in_the_run_folder(
    tmp_path: Path, write_job: Write
) -> None:
    lines = ["y,c", *(f"{row % 2},{row % 5}" for row in range(400)), "maybe,1"]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    (tmp_path / "schema.yaml").write_text("{label: y, categorical: {c: }}")
    table = {"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}}
    with pytest.raises(DataError, match=r"1 of the 401 rows read are bad, but at most 0\.100% may be"):
        DataStage().run(open_run(write_job(tmp_path, data=table)))
    run = open_run(write_job(tmp_path, data={**table, "max_rejected": 0.01}))
    DataStage().run(run)
    assert (run.path / "rejected.tsv").read_text().splitlines()[1].split("\t")[1] == "402"
    assert PreparedData.open(run.data).name == "table"
    progress = read_progress(run.progress("data"))
    assert progress is not None
    assert progress.note == "table, 400 rows, 1 bad left out"
    again = Job.model_validate_json(run.job.model_dump_json())  # as job.json holds it
    assert again.data.table_schema == tmp_path / "schema.yaml"
    with pytest.raises(JobError, match=r"data\.schema: the data stage .* was started with"):
        DataStage().run(open_run(write_job(tmp_path, data={**table, "max_rejected": 0.01, "schema": "other.yaml"})))


def test_a_schema_that_was_corrected_since_is_no_more_that_of_the_data(tmp_path: Path, write_job: Write) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["y,z,c", *(f"{i % 2},{i // 2 % 2},{i % 5}" for i in range(400))]))
    schema = tmp_path / "schema.yaml"
    schema.write_text("{label: y, categorical: {c: }, ignored: [z]}")
    job = write_job(tmp_path, data={"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}})
    DataStage().run(open_run(job))
    schema.write_text("{label: z, categorical: {c: }, ignored: [y]}")
    with pytest.raises(JobError, match=r"data\.schema\.ignored: the data stage .* was started with \['z'\]"):
        DataStage().check(open_run(job))
    schema.write_text("# the same\n{label: y, ignored: [z], categorical: {c: {}}}")
    DataStage().check(open_run(job))
    schema.unlink()  # the data are prepared, so that nobody needs it
    DataStage().check(open_run(job))


def test_a_default_of_a_schema_is_named_as_what_it_is(tmp_path: Path, write_job: Write) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["y,p,c", *(f"{i % 2},{i},{i % 5}" for i in range(400))]))
    schema = tmp_path / "schema.yaml"
    schema.write_text("{label: y, dense: {p: }, categorical: {c: }}")
    table = {"source": "table", "input": "rows.csv", "schema": "schema.yaml", "options": {}}
    run = open_run(write_job(tmp_path, data=table))
    DataStage().run(run)
    for said in ("log", "{transform: log}", "{flag_missing: false}"):
        schema.write_text(f"{{label: y, dense: {{p: {said}}}, categorical: {{c: {{}}}}}}")
        DataStage().check(run)
    schema.write_text("{label: y, dense: {p: standardise}, categorical: {c: }}")
    with pytest.raises(JobError, match=r"dense\.p\.transform: .* with 'log', but the job says 'standardise'"):
        DataStage().check(run)


def test_several_files_are_read_one_after_another(tmp_path: Path, write_job: Write) -> None:
    for name, rows in (("a.csv", 200), ("b.csv", 300), ("v.csv", 100), ("t.csv", 60)):
        (tmp_path / name).write_text("\n".join(["y,c", *(f"{i % 2},{i % 5}" for i in range(rows))]))
    (tmp_path / "schema.yaml").write_text("{label: y, categorical: {c: }}")
    table = {"source": "table", "input": ["a.csv", "b.csv"], "schema": "schema.yaml", "options": {}}
    run = open_run(write_job(tmp_path, data=table))
    DataStage().run(run)
    assert sum(part.rows for part in PreparedData.open(run.data).description.parts.values()) == 500
    DataStage().check(RunFolder(Job.model_validate_json(run.job.model_dump_json())))
    with pytest.raises(JobError, match=r"data\.input: .* was started with \['.*a\.csv', '.*b\.csv'\], but"):
        DataStage().check(open_run(write_job(tmp_path, data={**table, "input": "a.csv"})))
    given = {**table, "split": "given", "validation": ["v.csv"], "test": "t.csv", "input": ["b.csv", "a.csv"]}
    run = open_run(write_job(tmp_path, data=given, run_folder="given"))
    DataStage().run(run)
    assert PreparedData.open(run.data).rows(Part.TEST) == 60


def test_a_project_that_was_moved_goes_on(tmp_path: Path, write_job: Write, caplog: pytest.LogCaptureFixture) -> None:
    """Its files are those of before, as seen from the run folder, however often it is moved."""
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / "0" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "0" / "data" / name).write_text("\n".join(["y,c", *(f"{n % 2},{n % 5}" for n in range(300))]))
    (tmp_path / "0" / "schema.yaml").write_text("{label: y, categorical: {c: }}")

    def told(folder: Path, *files: str) -> RunFolder:
        names = [f"data/{name}" for name in files]
        data = {"source": "table", "input": names, "schema": "schema.yaml", "options": {}}
        return open_run(write_job(folder, data=data))

    run_job(told(tmp_path / "0", "a.csv", "b.csv"), (DataStage(),))
    for number in (1, 2):
        (tmp_path / str(number - 1)).rename(project := tmp_path / str(number))
        run_job(told(project, "a.csv", "b.csv"), (DataStage(),))
        run = told(project, "a.csv", "b.csv")
        assert run.held_paths("search", "continues", str(project / "may")) == str(tmp_path / "0" / "may")
        with pytest.raises(JobError, match=r"data\.input: the data stage .* was started with .*/0/data/a\.csv"):
            run_job(told(project, "a.csv", "c.csv"), (DataStage(),))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    (project / "data" / "b.csv").write_text("y,c\n1,2\n")
    run_job(told(project, "a.csv", "b.csv"), (DataStage(),))
    assert f"{project}/data/b.csv has changed since the data were prepared" in caplog.text


def test_a_project_that_was_moved_is_opened_by_its_run_folder(
    tmp_path: Path, write_job: Write, finished_run: RunFolder
) -> None:
    shutil.copytree(finished_run.data, tmp_path / "0" / "prepared")
    data = {"source": "prepared", "input": "prepared", "options": {}}
    run = open_run(write_job(tmp_path / "0", data=data, storage="sqlite:///studies.db"))
    run_job(run, (DataStage(),))
    (tmp_path / "0" / "studies.db").touch()
    (tmp_path / "0").rename(tmp_path / "1")
    there = RunFolder.open(tmp_path / "1" / "run")
    assert there.data == tmp_path / "1" / "prepared"
    assert there.job.storage_url == f"sqlite:///{tmp_path}/1/studies.db"
    assert run_status(there)[0].state == "done"


def test_prepared_data_that_were_moved_with_the_run_are_found(
    tmp_path: Path, write_job: Write, finished_run: RunFolder
) -> None:
    shutil.copytree(finished_run.data, tmp_path / "0" / "prepared")

    def told(folder: Path) -> RunFolder:
        return open_run(write_job(folder, data={"source": "prepared", "input": "prepared", "options": {}}))

    DataStage().run(told(tmp_path / "0"))
    (tmp_path / "0").rename(tmp_path / "1")
    moved = told(tmp_path / "1")
    DataStage().run(moved)
    assert moved.began_in == str(tmp_path / "0" / "run")
