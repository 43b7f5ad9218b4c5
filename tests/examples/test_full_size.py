"""The full-size examples: the published settings, jobs that run on files of these formats, figures as calculated."""

import re
import runpy
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from nasrec_automl.config import Job, load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES
from nasrec_automl.experiment.launch import run_of
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.space import load_architecture
from tests.command_line import call, refused
from tests.data.readers.rows import write_public_sets

EXAMPLES = Path(__file__).parents[2] / "examples"
SETS = ("criteo", "avazu", "kdd12")
SIZES = {"full": "", "small": "small_"}

# Supernet: batch, warm-up steps. Score: batches of 8,192. Final training: batch, rate by space.
PUBLISHED: dict[str, tuple[int, int, int, int, dict[str, float]]] = {
    "criteo": (512, 15_000, 150, 256, {"full": 0.16, "small": 0.1}),
    "avazu": (512, 12_500, 125, 256, {"full": 0.2, "small": 0.1}),
    "kdd12": (1024, 20_000, 175, 512, {"full": 0.16, "small": 0.1}),
}
each_set = pytest.mark.parametrize("name", SETS)
each_size = pytest.mark.parametrize("size", SIZES)


def example(name: str, size: str, kind: str) -> Path:
    return EXAMPLES / name / f"{SIZES[size]}{kind}"


def script(name: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def check_common(job: Job, name: str, size: str, batch: int, rate: float) -> None:
    assert (job.seed, job.space, job.embedding_dim, job.precision) == (2018, f"nasrec-{size}", 16, "float32")
    data = job.data
    assert (data.source, data.split, data.seed) == (name, "random", 2018)
    assert data.input == EXAMPLES.parent / "data" / name
    assert data.options == ({} if name == "criteo" else {"protocol": "published"})
    retrain = job.retrain
    assert (retrain.max_epochs, retrain.clip_norm, retrain.eps) == (1, 5.0, 0.01)
    space = retrain.space
    assert all(one.single for one in (space.optimizer, space.learning_rate["adagrad"], space.batch_size))
    assert (space.optimizer.start(), space.learning_rate["adagrad"].start(), space.batch_size.start()) == (
        "adagrad", rate, batch)  # fmt: skip
    assert (space.weight_decay.start(), space.dropout.start(), space.table_cap.start()) == (0, 0, None)


@each_set
@each_size
def test_the_job_has_the_published_settings(name: str, size: str) -> None:
    job = load_job(example(name, size, "job.yaml"))
    batch, warm_up, scored, _, _ = PUBLISHED[name]
    check_common(job, name, size, batch, 0.12)
    assert job.data.hash_above == 500_000
    supernet = job.supernet
    assert (supernet.sampling, supernet.epochs, supernet.batch_size) == ("single-operator", 1, batch)
    assert (supernet.learning_rate, supernet.schedule_warm_up, supernet.clip_norm) == (0.12, 0.1, 5.0)
    assert (supernet.eps, supernet.weight_decay, supernet.dropout, supernet.layer_norm) == (0.01, 0, 0, True)
    steps = int(PUBLISHED_SIZES[name].rows * 0.72) // batch
    assert round(supernet.path_warm_up * steps) == warm_up
    search = job.search
    assert (search.sampler, search.architectures, search.population) == ("evolution", 128 + 240 * 8, 128)
    assert (search.tournament, search.children, search.early_stop) == (64, 8, 0)
    assert search.head.model_dump() == {
        "method": "adagrad", "steps": 500, "batch_size": batch, "learning_rate": 0.04}  # fmt: skip
    assert search.verdict.architectures == 0
    assert search.max_rows == scored * 8192 <= PUBLISHED_SIZES[name].rows * 0.05
    assert (job.retrain.top_k, job.retrain.layer_norm, job.retrain.pruner) == (15, True, "none")


@each_set
@each_size
def test_the_final_job_has_the_published_settings(name: str, size: str) -> None:
    job = load_job(example(name, size, "final.yaml"))
    *_, batch, rates = PUBLISHED[name]
    check_common(job, name, size, batch, rates[size])
    assert job.data.hash_above is not None
    assert job.data.hash_above > PUBLISHED_SIZES[name].rows
    assert not job.retrain.layer_norm


@each_set
@each_size
def test_the_experiment_is_the_one_of_the_job(name: str, size: str, tmp_path: Path) -> None:
    path = example(name, size, "experiment.yml")
    job = example(name, size, "job.yaml")
    assert run_of(path).job == load_job(job)
    written = path.read_text()
    copy = tmp_path / job.name
    copy.write_text(job.read_text())
    assert write_experiment(copy, tmp_path / path.name).read_text() == written


def test_run_folders_are_of_one_job_each() -> None:
    jobs = [load_job(path) for name in SETS for path in (EXAMPLES / name).glob("*.yaml")]
    assert len({job.run_folder for job in jobs}) == len({job.name for job in jobs}) == len(jobs) == 12
    assert all(job.run_folder == EXAMPLES.parent / "runs" / job.name for job in jobs)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with raw files, as the reader of the examples has the repository's."""
    (tmp_path / "data").mkdir()
    write_public_sets(tmp_path / "data")
    return tmp_path


def copied(path: Path, here: Path) -> Path:
    """The job in a place from which the raw files are the ones made up."""
    copy = here / "examples" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    copy.write_text(path.read_text())
    return copy


@each_set
def test_the_data_stage_runs_on_raw_files(name: str, here: Path) -> None:
    run = RunFolder(load_job(copied(example(name, "full", "job.yaml"), here)))
    STAGES["data"].run(run)
    size = PUBLISHED_SIZES[name]
    data = PreparedData.open(run.data)
    assert data.name == ("criteo" if name == "criteo" else f"{name}-published")
    assert len(data.description.dense) == size.dense
    assert data.schema().num_fields == size.fields
    sentence = f"480 rows: fewer than the {size.rows:,} of {size.file}"
    assert data.description.notes["completeness"] == sentence
    progress = read_progress(run.progress("data"))
    assert progress is not None
    assert progress.note == f"{data.name}, {sentence}"


def test_of_avazu_the_final_training_learns_no_ids(here: Path) -> None:
    run = RunFolder(load_job(copied(example("avazu", "full", "final.yaml"), here)))
    STAGES["data"].run(run)
    sizes = {field.name: field.table_size for field in PreparedData.open(run.data).schema().fields}
    assert (sizes["id"], sizes["hour"]) == (2, 25)


def test_the_final_training_of_a_published_architecture_and_of_a_file(here: Path) -> None:
    job = copied(example("kdd12", "full", "final.yaml"), here)
    assert "kdd12-full: validation log loss" in call("retrain", job, "kdd12-full").out
    architecture = load_architecture("kdd12-full")
    file = here / "mine.json"
    file.write_text(architecture.to_json())
    assert f"{architecture.key}: validation log loss" in call("retrain", job, file).out
    weights = load_subnet(here / "runs" / "kdd12-full-final" / "models" / architecture.key / "model.safetensors")
    assert not weights.layer_norm


def script_refused(name: str, *arguments: object, naming: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script that ends with one sentence, and as the command line does."""
    said = StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as ended:
        script(name, *arguments, monkeypatch=monkeypatch)
    assert ended.value.code == 2
    (line,) = said.getvalue().splitlines()
    assert re.search(naming, line), line


def test_what_a_script_cannot_take_is_said_in_a_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = copied(example("kdd12", "full", "final.yaml"), here)
    script_refused("estimate", here / "no.yaml", naming=r"no\.yaml: no such job file", monkeypatch=monkeypatch)
    wrong = here / "wrong.yaml"
    wrong.write_text(job.read_text() + "colour: red\n")
    script_refused("estimate", wrong, naming="colour: no such field", monkeypatch=monkeypatch)
    wrong.write_text(example("kdd12", "full", "job.yaml").read_text().replace("nasrec-full", "nasrec-fulll"))
    script_refused("estimate", wrong, naming="nasrec-fulll", monkeypatch=monkeypatch)
    for file in ("job.yaml", "final.yaml"):
        few = (example("criteo", "full", file), "--rows", -5)
        script_refused("estimate", *few, naming="at least 1", monkeypatch=monkeypatch)


def test_the_name_is_looked_up_before_hours_of_preparation(here: Path) -> None:
    job = copied(example("kdd12", "full", "final.yaml"), here)
    for unknown in ("0123456789abcdef", here / "gone.json"):
        refused("retrain", job, unknown, naming=str(unknown))
    assert not RunFolder(load_job(job)).path.exists()


def test_a_final_training_that_is_refused_leaves_the_run_as_it_is(here: Path) -> None:
    job = copied(example("kdd12", "full", "final.yaml"), here)
    run = RunFolder(load_job(job))
    run_job(run, (STAGES["data"],))
    before = (run.path / "job.json").read_text()
    job.write_text(job.read_text().replace("hash_above: 2000000000", "hash_above: 2100000000"))
    assert load_job(job) != run.job
    refused("retrain", job, "kdd12-full", naming="data.hash_above: the data stage")
    assert (run.path / "job.json").read_text() == before


@each_set
def test_the_readme_shows_what_the_script_calculates(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    shown = re.findall(r"    python (examples/estimate\.py) (\S+)\n\n(.*?)\n\n", text, re.DOTALL)
    assert [Path(job).name for _, job, _ in shown] == ["job.yaml", "small_job.yaml"]
    for _, job, table in shown:
        script("estimate", EXAMPLES.parent / job, monkeypatch=monkeypatch)
        assert capsys.readouterr().out == f"{table}\n"


@each_set
def test_what_the_readme_names_is_there(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    for path in re.findall(r"examples/[\w/]+\.\w+", text):
        assert (EXAMPLES.parent / path).is_file(), path
    for file in re.findall(r"`(\w+\.ya?ml)`", text):
        assert (EXAMPLES / name / file).is_file(), file
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (EXAMPLES / name / target).exists(), target
    assert f"{PUBLISHED_SIZES[name].rows:,} rows of {PUBLISHED_SIZES[name].columns} " in text.replace("\n", " ")


def estimated(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    return {line[0]: line[-1] for line in lines}


def test_an_estimate_by_hand(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    content: dict[str, Any] = {
        "name": "small",
        "data": {"source": "kdd12", "input": "x", "hash_above": 400_000},
        "embedding_dim": 8,
        "supernet": {"epochs": 2, "batch_size": 1024, "path_warm_up": 0.5},
        "search": {
            "architectures": 10,
            "head": {"method": "ridge", "max_rows": 8192},
            "max_rows": 16384,
            "verdict": {"architectures": 0},
        },
        "retrain": {"trials": 20, "top_k": 2, "max_epochs": 3, "space": {"learning_rate": 0.1, "batch_size": 256}},
    }
    job = here / "job.yaml"
    job.write_text(yaml.safe_dump(content))
    times = ("--step", 100, "--whole", 1000, "--score", 3_600_000)
    script("estimate", job, "--rows", 1_024_000, *times, monkeypatch=monkeypatch)
    without = {
        "rows": "1,024,000",
        "preparation": "0.0 min",
        "memory meanwhile": "0.8 GB",
        "temporary files, at most": "0.1 GB",  # 13 features of 8 bytes
        "prepared files, at most": "0.1 GB",  # 53 bytes
        "embedding tables, at most": "0.1 GB",  # 4 million rows of 32 bytes
        "the same with Adagrad's sums": "0.3 GB",
        "supernet": "0.3 h",  # 1440 steps of 2 x 512 rows: 360 of 2 s and 1080 of 0.2 s
        "search": "30.0 h",  # 10 x 3 batches of an hour
        "retrain": "2.7 h",  # 20 x 9600 steps of 50 ms
        "subnets that retrain keeps, at most": "2.6 GB",
        "final": "0.4 h",  # 3 x 10800 steps of 50 ms
    }
    teachers = {
        "teachers": "0.4 h",  # 3 x 9600 steps
        "subnets that retrain keeps, at most": "3.3 GB",  # and 3 of them, and 3 of the final stage
        "final": "0.9 h",  # 3 trainings more
    }
    assert estimated(capsys) == {**without, **teachers}
    content["search"]["verdict"] = {"architectures": 70, "seeds": 2}
    job.write_text(yaml.safe_dump(content))
    script("estimate", job, "--rows", 1_024_000, *times, monkeypatch=monkeypatch)
    assert estimated(capsys) == {
        **without,
        "teachers": "0.4 h",
        "check of the scores": "228.7 h",  # 140 x 9600 steps of 50 ms, and 70 x 3 batches of an hour
        "retrain": "3.1 h",  # 2 + 3 + 18 of them, at most
        "subnets that retrain keeps, at most": "4.6 GB",  # and 3 hand designs, 5 of the check, 5 of the final stage
        "final": "1.2 h",  # 5 trainings more
    }
    content["search"]["verdict"] = {"architectures": 0}
    content["retrain"]["teachers"] = 0
    job.write_text(yaml.safe_dump(content))
    script("estimate", job, "--rows", 1_024_000, *times, monkeypatch=monkeypatch)
    assert estimated(capsys) == without
    content["search"]["verdict"] = {"architectures": 70, "seeds": 2}
    job.write_text(yaml.safe_dump(content))
    script("estimate", job, "--rows", 1_024_000, *times, monkeypatch=monkeypatch)
    assert estimated(capsys) == {
        **without,
        "check of the scores": "228.7 h",
        "retrain": "3.1 h",  # 2 + 3 + 18 of them, at most
        "subnets that retrain keeps, at most": "2.9 GB",
    }
    content["search"]["verdict"] = {"architectures": 0}
    job.write_text(yaml.safe_dump(content))
    script("estimate", job, "--rows", 1_024_000_000, *times, monkeypatch=monkeypatch)
    large = estimated(capsys)
    assert (large["prepared files, at most"], large["search"]) == ("54.3 GB", "30.0 h")
    # A third of Criteo's 39 features, of which 380,000 rows take a second.
    assert (large["preparation"], large["temporary files, at most"]) == ("15.0 min", "106.5 GB")
    script("estimate", job, "--rows", 40_960, *times, monkeypatch=monkeypatch)
    assert estimated(capsys)["search"] == "6.5 h", "10 x 0.65 batches: no more than 3,277 head rows and 2,048 to score"


def test_what_cannot_be_estimated_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for job, why in (
        ("criteo/final.yaml", "the tables are not capped"),
        (
            "quickstart/job.yaml",
            "the source must be one of criteo, avazu, kdd12, or table with a schema, but is 'movielens'",
        ),
    ):
        script_refused("estimate", EXAMPLES / job, naming=why, monkeypatch=monkeypatch)


def test_a_table_whose_rows_are_counted_can_be_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.yaml").write_text(
        "{label: y, dense: {n: , m: {flag_missing: false}}, categorical: {c: , d: {max_values: 3}}}"
    )
    data = {"source": "table", "schema": "schema.yaml", "input": "x.csv", "defaults": {"dense": {"flag_missing": True}}}
    job = tmp_path / "job.yaml"

    def run(*arguments: object, **changes: object) -> None:
        job.write_text(yaml.safe_dump({"name": "mine", "embedding_dim": 8, "data": {**data, **changes}}))
        script("estimate", job, *arguments, monkeypatch=monkeypatch)

    run("--rows", 1_000_000_000, hash_above=1_000_000)
    found = estimated(capsys)
    assert found["prepared files, at most"] == "29.0 GB"  # 3 numbers and 4 ids of 4 bytes, and the label
    assert found["temporary files, at most"] == "48.0 GB"  # 2 numbers and 4 ids of 8 bytes
    assert found["embedding tables, at most"] == "0.1 GB"  # 2 fields
    for arguments, changes, why in (
        ((), {"hash_above": 9}, "how many rows a table has is to be said: give --rows"),
        (("--rows", 5), {}, "the tables are not capped, so that only their preparation can say their size: set data."),
    ):
        with pytest.raises(SystemExit):
            run(*arguments, **changes)
        assert why in " ".join(capsys.readouterr().err.split())
