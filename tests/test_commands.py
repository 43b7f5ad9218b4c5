"""What the commands do, as a user calls them; bad input is one sentence, exit code 2, and harms nothing."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import nasrec_automl.experiment.launch
from nasrec_automl.commands import row_bars
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.pipeline.status import STAGE_NAMES
from nasrec_automl.space import load_search_space
from tests.command_line import call, files, refused

Write = Callable[..., Path]


# What works


def test_space_show_in_nnis_form() -> None:
    done = call("space", "show", "nasrec-small", "--nni")
    assert (done.code, done.out) == (0, load_search_space("nasrec-small").to_nni_json())


def test_space_show() -> None:
    done = call("space", "show", "nasrec-small")
    assert done.code == 0
    assert "nasrec-small: 7 blocks" in done.out
    assert "block1/dense_dim" in done.out


def test_run_status_and_report_of_a_done_run(copied_run: Any) -> None:
    job = copied_run.path.parent / "job.yaml"
    done = call("run", job)
    assert done.code == 0, done.error
    assert "logistic regression" in done.out
    assert str(copied_run.report) in done.out
    assert "optuna-dashboard sqlite:///" in done.out
    assert call("status", copied_run.path).out.count("done") == 6
    found = json.loads(call("status", copied_run.path, "--json").out)
    assert [(stage["name"], stage["state"]) for stage in found] == [(name, "done") for name in STAGE_NAMES]
    assert found[1]["progress"]["done"] == found[1]["progress"]["total"] > 0
    poor = yaml.safe_load(job.read_text()) | {"budget": {"macs": 10}}
    job.write_text(yaml.safe_dump(poor))
    assert "An earlier result is still there: on test a log loss of " in call("status", job).out
    copied_run.report.unlink()
    assert call("report", copied_run.path).out.strip() == str(copied_run.report)
    assert copied_run.report.is_file()


def test_a_run_may_stop_after_a_stage_and_go_on(tmp_path: Path, write_job: Write) -> None:
    job = write_job(tmp_path)
    done = call("run", job, "--until", "data")
    assert done.code == 0, done.error
    assert "done up to the data stage; a call with a later --until goes on" in done.out
    states = [stage["state"] for stage in json.loads(call("status", job, "--json").out)]
    assert states[0] == "done"
    assert "done" not in states[1:]


def test_a_finished_run_has_its_result_whatever_stage_it_is_to_end_with(copied_run: Any) -> None:
    done = call("run", copied_run.path.parent / "job.yaml", "--until", "search")
    assert "logistic regression" in done.out


def test_experiment(tmp_path: Path, write_job: Write) -> None:
    folder = tmp_path / "my clicks"
    job = write_job(folder)
    done = call("experiment", job)
    assert done.code == 0
    assert f"`nnictl create --config '{folder / 'experiment.yml'}'`" in done.out
    assert yaml.safe_load((folder / "experiment.yml").read_text())["experimentName"] == "tiny"
    refused("experiment", ".", naming=": is a folder, but a job is a YAML file")


def test_a_job_that_is_named_as_an_experiment_stays(tmp_path: Path, write_job: Write) -> None:
    job = write_job(tmp_path).rename(tmp_path / "experiment.yml")
    before = files(tmp_path)
    refused("experiment", job, naming=f"{job}: is the job itself: name another file to write (--output)")
    assert files(tmp_path) == before


def test_a_worker_of_a_done_run_has_nothing_to_do(copied_run: Any, tmp_path: Path) -> None:
    for run_or_job in (copied_run.path, copied_run.path.parent / "job.yaml"):
        done = call("worker", run_or_job)
        assert done.code == 0, done.error
        assert done.out == f"{copied_run.path}: scored 0 architectures, finished 0 trainings\n"
    refused("worker", tmp_path / "gone", naming="not a run folder")
    copied_run.weights.unlink()
    refused("worker", copied_run.path, naming="the supernet is not trained, and nobody trains it; start")


def test_the_demo_of_a_finished_run_starts_no_experiment(copied_run: Any) -> None:
    job = copied_run.path.parent / "job.yaml"
    assert call("experiment", job).code == 0
    before = files(copied_run.path)
    done = call("demo", job.with_name("experiment.yml"))
    assert done.code == 0, done.error
    assert str(copied_run.report) in done.out
    assert "nnictl view" not in done.out
    job.write_text(job.read_text().replace("supernet:", "supernet:\n  learning_rate: 0.031"))
    refused("demo", job.with_name("experiment.yml"), naming="supernet.learning_rate: the supernet stage in")
    assert files(copied_run.path) == before


def test_the_demo_ends_with_where_everything_is(copied_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job, aside = copied_run.path.parent / "job.yaml", copied_run.path.parent / "aside"
    assert call("experiment", job).code == 0
    spec = job.with_name("experiment.yml")
    copied_run.result.rename(aside)
    monkeypatch.setattr(nasrec_automl.experiment.launch, "launch", lambda spec, **_: "x1")
    refused("demo", spec, naming="NNI says that experiment x1 is done, but the run is not; start it again to go on")

    def finishes(spec: Path, port: int | None, on_page: Callable[[str], object]) -> str:
        on_page("http://localhost:1")
        aside.rename(copied_run.result)
        return "x2"

    monkeypatch.setattr(nasrec_automl.experiment.launch, "launch", finishes)
    live = call("demo", spec)
    assert "NNI's page: http://localhost:1\n" in live.out
    ExperimentNote(id="x2", url="http://127.0.0.1:1").write(copied_run)
    monkeypatch.undo()
    finished = call("demo", spec)
    for done in (live, finished):
        assert done.code == 0, done.error
        assert f"Report:             {copied_run.report}" in done.out
        assert f"optuna-dashboard sqlite:///{copied_run.path}/studies.db --artifact-dir" in done.out
        assert "nnictl view x2 --port 8080" in done.out


def test_compare(finished_run: Any, tmp_path: Path) -> None:
    done = call("compare", finished_run.path, finished_run.path)
    assert done.code == 0, done.error
    assert f"{json.loads(finished_run.result.read_text())['test']['log_loss']:.4f}" in done.out
    refused("compare", finished_run.path, tmp_path, naming=f"{tmp_path}: not a run folder")
    assert call("compare", finished_run.path).code == 2, "there is nothing to compare with"


def test_each_task_has_one_bar() -> None:
    shown = io.StringIO()
    with row_bars(Console(file=shown, force_terminal=True, width=120)) as on_progress:
        on_progress("reading rows", 500, 2000)
        on_progress("writing", 10, None)
        on_progress("reading rows", 2000, 2000)
    text = shown.getvalue()
    assert "10/?" in text
    assert "a second" in text
    assert text.rindex("reading rows") < text.rindex("2000/2000") < text.rindex("writing"), "the last of both is drawn"


# What is refused


@pytest.mark.parametrize("command", ["run", "experiment"])
@pytest.mark.parametrize(
    ("changes", "naming"),
    [
        ({"sead": 1}, "sead: no such field"),
        ({"supernet": {"epoch": 1}}, "supernet.epoch: no such field"),
        ({"search": {"head": {"step": 1}}}, "search.head.step: no such field"),
        ({"supernet": {"epochs": "many"}}, "supernet.epochs: "),
        ({"search": {"tournament": 9}}, "search: tournament (9) must not exceed population (8)"),
        (
            {"retrain": {"space": {"learning_rate": {"low": 2, "high": 1}}}},
            "retrain.space.learning_rate.adagrad: low (2.0)",
        ),
        ({"device": "tpu"}, "device: "),
        ({"data": None}, "data: this field is required"),
        ({"name": "a/b"}, "name: "),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, write_job: Write, command: str, changes: dict[str, Any], naming: str
) -> None:
    job = write_job(tmp_path, **changes)
    before = files(tmp_path)
    sentence = refused(command, job, naming=naming)
    assert str(job) in sentence
    assert files(tmp_path) == before


def test_a_run_goes_on_by_its_folder_with_the_job_that_it_was_started_with(copied_run: Any) -> None:
    done = call("run", copied_run.path)
    assert done.code == 0, done.error
    assert f"Report:             {copied_run.report}" in done.out
    refused("run", copied_run.path, "--set", "seed=1", naming="seed: the supernet stage")
    for key in ("name", "run_folder"):
        refused("run", copied_run.path, "--set", f"{key}=other", naming=f"is a run, whose {key} stays: give the job")
    refused("experiment", copied_run.path, naming=f"or {copied_run.path / 'job.json'}, the run's own note of it")


def test_a_run_that_was_copied_goes_on_in_its_copy(copied_run: Any) -> None:
    copy = copied_run.path.with_name("copy")
    shutil.copytree(copied_run.path, copy)
    before = files(copied_run.path)
    (copy / "report.html").unlink()
    done = call("run", copy)
    assert done.code == 0, done.error
    assert (copy / "report.html").is_file()
    assert files(copied_run.path) == before
    refused("run", copy, "--set", "data.schema=s.yaml", naming="data.schema: the data stage")


def test_fields_that_there_are_are_listed_once(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("{label: y, dense: {a: }, categorical: {c: }, name: a, data: {source: criteo, a: 1, b: 2}}")
    sentence = refused("run", job, naming="label, dense, categorical: no such fields; there are name, run_folder, ")
    assert "data.a, data.b: no such fields; there are source, input, " in sentence
    assert sentence.count("there are") == 2


@pytest.mark.parametrize("command", ["run", "experiment"])
def test_a_missing_job_is_named(tmp_path: Path, command: str) -> None:
    refused(command, tmp_path / "gone.yaml", naming="gone.yaml: no such job file")
    refused(
        command, tmp_path, naming=f"{tmp_path}: is a folder, but a job is a YAML file: name {tmp_path / 'job.yaml'}"
    )
    (tmp_path / "mine.yaml").touch()
    refused(command, tmp_path, naming=f"name {tmp_path / 'mine.yaml'}")
    (tmp_path / "job.yaml").write_text("name: [")
    refused(command, tmp_path / "job.yaml", naming="job.yaml: not a YAML file")
    (tmp_path / "job.yaml").write_text("- a")
    refused(command, tmp_path / "job.yaml", naming="job.yaml: expected a mapping")


def test_an_unknown_space_is_named(tmp_path: Path, write_job: Write, finished_run: Any) -> None:
    data = {"source": "prepared", "input": str(finished_run.data), "options": {}}
    refused("run", write_job(tmp_path, space="nasrec-huge", data=data), naming="nasrec-huge")
    refused("run", write_job(tmp_path / "b", space="gone.yaml", data=data), naming="gone.yaml")
    refused("space", "show", "nasrec-huge", naming="nasrec-huge")
    refused("space", "show", tmp_path / "gone.yaml", naming="gone.yaml")


def test_a_space_with_a_wrong_field_is_named(tmp_path: Path, write_job: Write) -> None:
    write_job(tmp_path)
    path = tmp_path / "space.yaml"
    path.write_text(f"{path.read_text()}blokcs: 3\n")
    refused("space", "show", path, naming="blokcs")


def test_a_folder_that_is_no_prepared_data_set_is_named(tmp_path: Path, write_job: Write) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "notes.txt").write_text("mine")
    job = write_job(tmp_path, data={"source": "prepared", "input": "raw", "options": {}})
    refused("run", job, naming=f"{tmp_path / 'raw'}: expected a prepared data set")
    assert files(tmp_path / "raw") == {tmp_path / "raw" / "notes.txt": b"mine"}
    refused("prepare", "synthetic", "--output", tmp_path / "raw", "--option", "rows=500", naming="raw")
    assert files(tmp_path / "raw") == {tmp_path / "raw" / "notes.txt": b"mine"}


def test_weights_of_another_space_or_schema_are_refused(copied_run: Any, tmp_path: Path, write_job: Write) -> None:
    from nasrec_automl.network import Supernet
    from nasrec_automl.network.weights import save_network
    from nasrec_automl.space import load_search_space

    job, schema = copied_run.path.parent / "job.yaml", PreparedData.open(copied_run.data).schema(4)
    copied_run.top.unlink()
    save_network(Supernet(load_search_space(copied_run.job.space), schema), copied_run.weights)
    before = files(copied_run.path)
    sentence = refused("run", job, naming=f"{copied_run.weights}: the supernet was trained on another schema")
    assert "embedding width 4 instead of 8" in sentence
    save_network(Supernet(load_search_space("nasrec-small"), schema), copied_run.weights)
    refused("run", job, naming=f"{copied_run.weights}: the supernet is of the space 'nasrec-small'")
    changed = {path for path, content in files(copied_run.path).items() if before.get(path) != content}
    assert {path.relative_to(copied_run.path).parts[0] for path in changed} <= {"supernet", "progress"}


def test_other_settings_than_before_are_refused(copied_run: Any, write_job: Write) -> None:
    before = files(copied_run.path)
    job = write_job(copied_run.path.parent, supernet={"learning_rate": 0.5})
    refused("run", job, naming="supernet.learning_rate: the supernet stage")
    assert call("run", job).out == ""  # one that is refused shows no stages
    refused("worker", job, naming="supernet.learning_rate: the supernet stage")
    refused("report", job, naming="supernet.learning_rate: the supernet stage")
    refused("retrain", job, "hand-mlp", naming="supernet.learning_rate: the supernet stage")
    changed = {path.name for path, content in files(copied_run.path).items() if before.get(path) != content}
    assert not changed


@pytest.mark.parametrize("command", ["run", "rank", "tune-supernet"])
def test_values_beside_the_job_file_count(copied_run: Any, write_job: Write, command: str) -> None:
    job = write_job(copied_run.path.parent)
    rate = ("--set", "supernet.learning_rate=0.5")
    refused(command, job, *rate, "--set", "seed=none", naming="seed: ")
    refused(command, job, "--set", "seed", naming="--set seed: expected KEY=VALUE")
    if command != "tune-supernet":  # it trains supernets of its own
        refused(command, job, *rate, naming="supernet.learning_rate: the supernet stage")
    usual = copied_run.job.supernet.learning_rate
    assert call("run", job, *rate, "--set", f"supernet.learning_rate={usual}").code == 0


@pytest.mark.parametrize(
    ("storage", "naming"),
    [
        ("postgresql://me:secret@localhost:1/x", "postgresql://me:***@localhost:1/x"),
        ("sqlite:////proc/nowhere/studies.db", "/proc/nowhere/studies.db"),
        ("sqlite:////dev/null", "/dev/null"),
        ("nonsense", "the storage is not a database URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named(
    copied_run: Any, write_job: Write, storage: str, naming: str
) -> None:
    copied_run.top.unlink()
    results = copied_run.result.read_bytes()
    sentence = refused("run", write_job(copied_run.path.parent, storage=storage), naming=naming)
    assert "secret" not in sentence
    assert copied_run.result.read_bytes() == results


def test_a_run_folder_in_use_is_refused(copied_run: Any) -> None:
    before = files(copied_run.path)
    with copied_run.lock():
        refused("run", copied_run.path.parent / "job.yaml", naming=f"{copied_run.path}: in use by process")
    assert files(copied_run.path) == before


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, write_job: Write) -> None:
    for command in ("status", "report", "export"):
        refused(command, tmp_path / "gone", naming=f"{tmp_path / 'gone'}: not a run folder")
        refused(command, tmp_path, naming=f"{tmp_path}: not a run folder")
    (tmp_path / "job.json").write_text("{}")
    for command in ("status", "report", "export"):
        refused(command, tmp_path, naming="job.json")
    refused("demo", tmp_path / "gone.yml", naming="gone.yml: ")


def test_an_unfinished_run_has_no_report(copied_run: Any) -> None:
    copied_run.result.unlink()
    refused("report", copied_run.path, naming="the run has no result yet")
