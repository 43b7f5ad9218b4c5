from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from nasrec_automl.config import AdagradHead, Job, RidgeHead, load_job
from nasrec_automl.config_training import RetrainConfig
from nasrec_automl.errors import JobError
from nasrec_automl.hyper_space import HyperSpace, load_hyper_space
from nasrec_automl.search.storage import open_storage

MINIMAL: dict[str, Any] = {"name": "mine", "data": {"source": "synthetic"}}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def changed(**fields: Any) -> dict[str, Any]:
    return {**MINIMAL, **fields}


def test_a_patience_of_0_is_for_never(tmp_path: Path) -> None:
    assert load_job(write(tmp_path / "job.yaml", changed(retrain={"patience": 0}))).retrain.patience == 0
    with pytest.raises(JobError, match=r"retrain\.patience: .* -1"):
        load_job(write(tmp_path / "job.yaml", changed(retrain={"patience": -1})))


@pytest.mark.parametrize(("population", "tournament"), [(48, 24), (1, 1), ("1e2", 50), (9, 4)])
def test_half_of_the_population_competes(tmp_path: Path, population: int | str, tournament: int) -> None:
    job = load_job(write(tmp_path / "job.yaml", changed(search={"population": population})))
    assert job.search.tournament == tournament


def test_a_minimal_job_has_the_usual_settings(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml", MINIMAL))
    assert job.space == "nasrec-full"
    assert (job.supernet.sampling, job.supernet.learning_rate, job.supernet.clip_norm) == ("single-operator", 0.12, 0.2)
    assert (job.search.population, job.search.tournament, job.search.children) == (128, 64, 8)
    assert job.search.architectures == 2048
    assert job.retrain.top_k == 15


def test_every_path_is_absolute_and_relative_to_the_job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = changed(
        run_folder="../out/run", space="spaces/mine.yaml", data={"source": "prepared", "input": "../data/./prepared"}
    )
    path = write(tmp_path / "jobs" / "job.yaml", content)
    (tmp_path / "elsewhere").mkdir()
    for cwd, given in (
        (tmp_path / "elsewhere", path),
        (path.parent, Path("job.yaml")),
        (tmp_path, Path("jobs/job.yaml")),
    ):
        monkeypatch.chdir(cwd)
        job = load_job(given)
        assert job.run_folder == tmp_path / "out" / "run"
        assert job.space == str(tmp_path / "jobs" / "spaces" / "mine.yaml")
        assert job.data.input == tmp_path / "data" / "prepared"
        assert job.storage_url == f"sqlite:///{tmp_path / 'out' / 'run' / 'studies.db'}"


def test_a_link_to_a_file_keeps_its_name_which_says_what_the_file_is(tmp_path: Path) -> None:
    """Caches keep a file under a hash, and link to it."""
    (tmp_path / "blobs" / "folder").mkdir(parents=True)
    (tmp_path / "blobs" / "3fa9").touch()
    (tmp_path / "here").symlink_to(tmp_path / "blobs")
    (tmp_path / "clicks.csv.gz").symlink_to(tmp_path / "blobs" / "3fa9")
    for given in ("clicks.csv.gz", "here/../clicks.csv.gz"):
        expected = (tmp_path / given).parent.resolve() / "clicks.csv.gz"
        job = load_job(write(tmp_path / "job.yaml", changed(data={"source": "criteo", "input": given})))
        assert job.data.input == expected
    job = load_job(write(tmp_path / "job.yaml", changed(data={"source": "prepared", "input": "here/folder"})))
    assert job.data.input == tmp_path / "blobs" / "folder"


def test_data_may_be_several_files(tmp_path: Path) -> None:
    data = {"source": "criteo", "split": "given", "input": ["a.gz", "/b"], "validation": ["v/*"], "test": "t"}
    job = load_job(write(tmp_path / "job.yaml", changed(data=data)))
    assert job.data.input == (tmp_path / "a.gz", Path("/b"))
    assert (job.data.validation, job.data.test) == (tmp_path / "v" / "*", tmp_path / "t")
    assert Job.model_validate_json(job.model_dump_json()) == job
    for wrong in ([], 5, ["a", 5], [["a"]], {"a": "b"}):
        path = write(tmp_path / "job.yaml", changed(data={"source": "criteo", "input": wrong}))
        with pytest.raises(
            JobError, match=r"data\.input: expected a path, or a list of paths such as [^;]*but it is"
        ) as e:
            load_job(path)
        assert repr(wrong) in str(e.value)
    path = write(tmp_path / "job.yaml", changed(data={"source": "prepared", "input": ["a", "b"]}))
    with pytest.raises(JobError, match="input of `prepared` is one folder, but there are 2"):
        load_job(path)


def test_a_key_file_is_relative_to_the_job_file_or_to_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    machines = [{"host": "a", "user": "b", "ssh_key_file": key} for key in ("keys/id", "~/.ssh/id")]
    content = changed(experiment={"machines": machines, "nni_manager_ip": "10.0.0.1"})
    job = load_job(write(tmp_path / "job.yaml", content))
    found = [machine.ssh_key_file for machine in job.experiment.machines]
    assert found == [tmp_path / "keys" / "id", tmp_path / "home" / ".ssh" / "id"]


def test_any_path_may_begin_at_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    write(home / "hyper.yaml", {"learning_rate": 0.1})
    files = {"input": "~/rows", "validation": "~/valid", "test": "~/test", "schema": "~/schema.yaml"}
    content = changed(
        run_folder="~/runs/a",
        space="~/space.yaml",
        continues="~/runs/b",
        storage="sqlite:///~/studies.db",
        data={"source": "table", "split": "given", **files},
        retrain={"space": "~/hyper.yaml"},
    )
    job = load_job(write(tmp_path / "jobs" / "job.yaml", content))
    assert (job.run_folder, job.continues) == (home / "runs" / "a", home / "runs" / "b")
    assert (job.space, job.storage) == (str(home / "space.yaml"), f"sqlite:///{home / 'studies.db'}")
    data = job.data
    assert [data.input, data.validation, data.test, data.table_schema] == [
        home / Path(path).name for path in files.values()
    ]
    assert job.retrain.space.learning_rate["adagrad"].start() == 0.1
    # One that is nobody's is a name as any other.
    content = changed(run_folder="~nobody-of-this-name/a")
    assert load_job(write(tmp_path / "job.yaml", content)).run_folder == tmp_path / "~nobody-of-this-name" / "a"


def test_the_run_folder_may_be_the_job_s_own(tmp_path: Path) -> None:
    assert load_job(write(tmp_path / "job.yaml", changed(run_folder="."))).run_folder == tmp_path


def test_the_run_folder_is_named_after_the_job(tmp_path: Path) -> None:
    assert load_job(write(tmp_path / "job.yaml", MINIMAL)).run_folder == tmp_path / "runs" / "mine"


def test_absolute_paths_and_names_stay(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml", changed(run_folder="/somewhere/run", space="nasrec-small")))
    assert job.run_folder == Path("/somewhere/run")
    assert job.space == "nasrec-small"


def test_a_storage_of_ones_own(tmp_path: Path) -> None:
    url = "postgresql://localhost/studies"
    assert load_job(write(tmp_path / "job.yaml", changed(storage=url))).storage_url == url


def test_a_database_is_beside_the_job_with_any_driver(tmp_path: Path) -> None:
    url = load_job(write(tmp_path / "job.yaml", changed(storage="sqlite+pysqlite:///studies.db"))).storage_url
    assert url == f"sqlite+pysqlite:///{tmp_path / 'studies.db'}"


def test_a_database_with_a_slash_too_few_is_not_made_elsewhere(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    meant = r"storage: 'sqlite:///tmp/s/a.db' is relative, .* in /.*/tmp/s/a.db: write sqlite:////tmp/s/a.db with four"
    with pytest.raises(JobError, match=meant):
        load_job(write(job, changed(storage="sqlite:///tmp/s/a.db")))
    for storage in (
        "sqlite:///./tmp/s/a.db",
        "sqlite:///tmp.db",
        "sqlite:///no-such-root/a.db",
        "sqlite:////tmp/s/a.db",
    ):
        assert load_job(write(job, changed(storage=storage))).storage_url.endswith(".db")
    (tmp_path / "tmp" / "s").mkdir(parents=True)
    url = load_job(write(job, changed(storage="sqlite:///tmp/s/a.db"))).storage_url
    assert url == f"sqlite:///{tmp_path / 'tmp/s/a.db'}"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite+pysqlite:///:memory:", "no url", "postgresql://host:no-port/a"])
def test_a_storage_without_a_file_stays_as_it_is(tmp_path: Path, url: str) -> None:
    assert load_job(write(tmp_path / "job.yaml", changed(storage=url))).storage_url == url


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a b", "{a}", "a#b"])
def test_a_database_is_in_its_folder_however_that_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    own = load_job(write(folder / "job.yaml", changed(run_folder="."))).storage_url
    of_two = load_job(write(folder / "job.yaml", changed(storage="sqlite:///two%20words.db?timeout=9"))).storage_url
    for url in (own, of_two):
        open_storage(url).engine.dispose()
    assert of_two.endswith("?timeout=9")
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in folder.glob("*.db")} == {"studies.db", "two words.db"}


def test_numbers_without_a_dot_are_numbers(tmp_path: Path) -> None:
    # YAML 1.1 reads 1e-3 as a string.
    text = """
name: mine
seed: 1e2
data: {source: synthetic, options: {rows: 1e5, seed: 3.0e+1}}
rank: {architectures: 4e1}
supernet: {patience: 1e1, learning_rate: 1e-1, weight_decay: 1e-6, clip_norm: 5e0, dropout: 1e-1, path_warm_up: 1e-1}
search: {early_stop: 2e1, verdict: {architectures: 3e1}, head: {method: adagrad, learning_rate: 4e-2}}
retrain:
  top_k: 1e1
  teachers: 1.0e+1
  space: {learning_rate: {low: 1e-3, high: 1e-1, log: true}, weight_decay: {low: 0, high: 1e-3}}
"""
    job = load_job(write(tmp_path / "job.yaml", text))
    assert (job.seed, job.data.options) == (100, {"rows": 100_000, "seed": 30})
    assert (job.supernet.patience, job.search.early_stop, job.search.verdict.architectures) == (10, 20, 30)
    assert (job.rank.architectures, job.retrain.top_k, job.retrain.teachers) == (40, 10, 10)
    assert job.supernet.learning_rate == 0.1
    assert job.supernet.weight_decay == 1e-6
    assert job.supernet.dropout == 0.1
    assert job.search.head == AdagradHead(method="adagrad", learning_rate=0.04)
    rate = job.retrain.space.learning_rate["adagrad"]
    assert (rate.low, rate.high) == (1e-3, 1e-1)
    assert job.retrain.space.weight_decay.high == 1e-3


def test_hyper_parameters_are_a_name_a_file_or_given_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"learning_rate": {"low": 0.01, "high": 0.1}, "batch_size": [64, 128]}
    write(tmp_path / "spaces" / "mine.yaml", space)
    monkeypatch.chdir("/")

    def loaded(**retrain: Any) -> HyperSpace:
        return load_job(write(tmp_path / "job.yaml", changed(retrain=retrain))).retrain.space

    assert loaded() == loaded(space="retrain-default") == load_hyper_space("retrain-default")
    assert loaded(space="spaces/mine.yaml") == loaded(space=space) == HyperSpace.model_validate(space)


@pytest.mark.parametrize(
    ("own", "said", "may"),
    [
        (True, None, True),
        (False, None, False),
        (False, [False, True], True),
        (False, [None, False], False),
        (True, False, False),
    ],
)
def test_a_training_may_have_layer_norm_where_space_or_else_job_say_so(own: bool, said: Any, may: bool) -> None:
    retrain = RetrainConfig.model_validate({"layer_norm": own, "space": {"learning_rate": 0.1, "layer_norm": said}})
    assert retrain.may_layer_norm == may


def test_a_wrong_file_of_hyper_parameters_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", {"learning_rate": 0.1, "dropout": [0.1, 1]})
    with pytest.raises(JobError, match=rf"retrain\.space: {tmp_path}/mine\.yaml: dropout\.choices\.1: .*less than 1"):
        load_job(write(tmp_path / "job.yaml", changed(retrain={"space": "mine.yaml"})))


def test_the_head_has_a_method_and_the_options_of_it(tmp_path: Path) -> None:
    def head(**options: Any) -> Any:
        return load_job(write(tmp_path / "job.yaml", changed(search={"head": options}))).search.head

    assert head() == head(method="ridge") == RidgeHead()
    assert head(strength=3, max_rows=9) == RidgeHead(strength=3, max_rows=9)
    assert head(method="adagrad", steps=0) == AdagradHead(method="adagrad", steps=0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seeds": 3}, "seeds"),
        ({"supernet": {"learning_rat": 0.1}}, "supernet.learning_rat"),
        ({"search": {"head": {"steps": 3}}}, "search.head.steps"),
        ({"search": {"head": {"method": "adagrad", "strength": 3}}}, "search.head.strength"),
        ({"data": {"source": "synthetic", "rows": 3}}, "data.rows"),
        ({"retrain": {"learning_rate": 0.1}}, "retrain.learning_rate"),
        ({"retrain": {"space": {"learning_rate": 0.1, "batch": 3}}}, "retrain.space.batch"),
        ({"retrain": {"space": {"learning_rate": {"low": 0.1, "hgh": 1}}}}, "retrain.space.learning_rate.adagrad.hgh"),
        ({"data": {"source": "synthetic", "fields": {"a": {"size": 3}}}}, "data.fields.a.size"),
        ({"data": {"source": "synthetic", "defaults": {"min_count": 2}}}, "data.defaults.min_count"),
        ({"data": {"source": "synthetic", "defaults": {"categorical": {"a": 2}}}}, "data.defaults.categorical.a"),
        ({"data": {"source": "synthetic", "defaults": {"dense": {"min_count": 2}}}}, "data.defaults.dense.min_count"),
        ({"experiment": {"machines": [{"hst": "a"}]}}, r"experiment\.machines\.0\.hst"),
    ],
)
def test_an_unknown_key_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with pytest.raises(JobError, match=rf"job\.yaml: {field}: no such field"):
        load_job(write(tmp_path / "job.yaml", changed(**change)))


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"seed": "many"}, "seed", "'many'"),
        ({"seed": -1}, "seed", "-1"),
        ({"name": "a b"}, "name", "'a b'"),
        ({"name": "."}, "name", r"'\.'"),
        ({"name": ".."}, "name", r"'\.\.'"),
        ({"name": ".a"}, "name", r"'\.a'"),
        ({"device": "tpu"}, "device", "'tpu'"),
        ({"supernet": {"learning_rate": "fast"}}, "supernet.learning_rate", "'fast'"),
        ({"supernet": {"learning_rate": 0}}, "supernet.learning_rate", "0"),
        ({"supernet": {"batch_size": 1.5}}, "supernet.batch_size", "1.5"),
        ({"supernet": {"sampling": "all"}}, "supernet.sampling", "'all'"),
        ({"supernet": {"dropout": 1}}, "supernet.dropout", "1"),
        ({"supernet": {"path_warm_up": 2}}, "supernet.path_warm_up", "2"),
        ({"supernet": []}, "supernet", r"\[\]"),
        ({"search": {"tournament": 200}}, "search", r"tournament \(200\) must not exceed population \(128\)"),
        ({"search": {"objectives": ["macs", "log_loss"]}}, "search", "log_loss first"),
        ({"search": {"objectives": ["log_loss", "macs", "macs"]}}, "search", "nothing twice"),
        ({"search": {"objectives": []}}, "search", "log_loss first"),
        ({"search": {"objectives": ["log_loss", "flops"]}}, "search.objectives.1", "'macs'.*'flops'"),
        (
            {"search": {"objectives": ["log_loss", "macs"], "sampler": "evolution"}},
            "search",
            "sampler evolution has one objective, but there are 2 .* choose nsga2, tpe or random",
        ),
        ({"search": {"sampler": "nsga2", "population": 1, "tournament": 1}}, "search", "population must be at least 2"),
        ({"search": {"head": {"strength": 0}}}, "search.head.strength", "0"),
        ({"search": {"verdict": {"architectures": 2}}}, "search.verdict", "0 or at least 3, but is 2"),
        ({"search": {"verdict": {"seed": 2}}}, "search.verdict.seed", "there are architectures, seeds"),
        ({"rank": {"architectures": 2}}, "rank.architectures", "2"),
        ({"search": {"head": {"method": "newton"}}}, "search.head", "ridge or adagrad, .*newton"),
        ({"search": {"head": 3}}, "search.head", "3"),
        ({"retrain": {"space": {"learning_rate": 0.1, "batch_size": [0]}}}, r"retrain.space.batch_size.choices.0", "0"),
        (
            {"retrain": {"space": {"learning_rate": {"low": 1, "high": 0.5}}}},
            "retrain.space.learning_rate.adagrad",
            "low",
        ),
        (
            {"retrain": {"space": "retrain-defualt"}},
            "retrain.space",
            "'retrain-defualt': expected a YAML file or one of retrain-adagrad",
        ),
        ({"retrain": {"space": 3}}, "retrain.space", "3"),
        ({"retrain": {"pruner": "median"}}, "retrain.pruner", "'median'"),
        ({"experiment": {"port": 70000}}, "experiment.port", "70000"),
        ({"experiment": {"max_trial_duration": "2 hours"}}, "experiment.max_trial_duration", "such as 90s.*2 hours"),
        ({"experiment": {"max_trial_duration": "0h"}}, "experiment.max_trial_duration", "above zero.*0h"),
        ({"experiment": {"max_trial_duration": 90}}, "experiment.max_trial_duration", "90"),
        ({"experiment": {"machines": [{"host": ""}]}}, "experiment.machines.0.host", "''"),
        (
            {"experiment": {"machines": [{"host": "a", "user": "b", "ssh_key_file": "id"}]}},
            "experiment",
            "machines need nni_manager_ip",
        ),
        ({"data": {"source": "synthetic", "split": "id"}}, "data.split", "'id'"),
        ({"data": {"source": "synthetic", "hash_above": 1}}, "data.hash_above", "1"),
        ({"data": {"source": "synthetic", "fields": {"a": {"compositional": 1}}}}, "data.fields.a.compositional", "1"),
        ({"data": {"source": "prepared", "hash_above": 9}}, "data", "the source is `prepared`"),
        ({"data": {"source": "prepared", "fields": {"a": {"kind": "hash"}}}}, "data", "the source is `prepared`"),
        ({"data": {"source": "prepared", "defaults": {"dense": "log"}}}, "data", "the source is `prepared`"),
        ({"data": {"source": "table", "defaults": {"dense": "sqrt"}}}, "data.defaults.dense.transform", "'sqrt'"),
        ({"data": {"source": "table", "options": {"defaults": "x"}}}, "data", "'table' has no option 'defaults'"),
        ({"data": {"source": "table", "options": {"measured": 1}}}, "data", "'table' has no option 'measured'"),
        ({"data": {"source": "table", "options": {"schema": "s.yaml"}}}, "data", "'table' has no option 'schema'"),
        ({"data": 3}, "data", "3"),
    ],
)
def test_a_wrong_value_is_named_with_its_field_and_file(
    tmp_path: Path, change: dict[str, Any], field: str, value: str
) -> None:
    with pytest.raises(JobError, match=rf"job\.yaml: {field}: .*{value}"):
        load_job(write(tmp_path / "job.yaml", changed(**change)))


@pytest.mark.parametrize(
    ("search", "sampler"),
    [
        ({}, "evolution"),
        ({"objectives": ["log_loss"]}, "evolution"),
        ({"objectives": ["log_loss", "macs"]}, "nsga2"),
        ({"objectives": ["log_loss", "macs", "latency_ms"], "sampler": "tpe"}, "tpe"),
        ({"sampler": "random"}, "random"),
        ({"population": 16}, "evolution"),
        # Evolution alone reads the tournament.
        ({"sampler": "random", "population": 16, "tournament": 64}, "random"),
        ({"sampler": "tpe", "population": 16, "tournament": 64}, "tpe"),
        ({"objectives": ["log_loss", "macs"], "population": 16, "tournament": 64}, "nsga2"),
    ],
)
def test_the_sampler_follows_from_the_objectives(tmp_path: Path, search: dict[str, Any], sampler: str) -> None:
    job = load_job(write(tmp_path / "job.yaml", changed(search=search)))
    assert job.search.sampler == sampler
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_all_wrong_fields_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(JobError) as error:
        load_job(write(tmp_path / "job.yaml", changed(seed="x", device="y")))
    assert "seed: " in str(error.value)
    assert "device: " in str(error.value)


@pytest.mark.parametrize(
    ("rows", "came"), [([1, 2], "[1, 2]"), (None, "None"), (float("inf"), "inf"), ({"train": 9}, "{'train': 9}")]
)
def test_a_wrong_option_is_named_once(tmp_path: Path, rows: Any, came: str) -> None:
    path = write(tmp_path / "job.yaml", changed(data={"source": "synthetic", "options": {"rows": rows, "seed": 1}}))
    with pytest.raises(JobError) as error:
        load_job(path)
    assert str(error.value) == f"{path}: data.options.rows: expected a number or a text, but it is {came}"


@pytest.mark.parametrize("missing", ["name", "data"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    content = {key: value for key, value in MINIMAL.items() if key != missing}
    with pytest.raises(JobError, match=rf"job\.yaml: {missing}: this field is required"):
        load_job(write(tmp_path / "job.yaml", content))


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "text", "\x00"])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(JobError, match=r"job\.yaml: (not a YAML file|expected a mapping)"):
        load_job(write(tmp_path / "job.yaml", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"nowhere\.yaml: no such job file"):
        load_job(tmp_path / "nowhere.yaml")
    with pytest.raises(JobError, match=r"is a folder, but a job is a YAML file: name .*job\.yaml"):
        load_job(tmp_path)


def test_errors_are_one_sentence(tmp_path: Path) -> None:
    for content in (changed(seed="x"), changed(x=1), "a: [", "- 1"):
        with pytest.raises(JobError) as error:
            load_job(write(tmp_path / "job.yaml", content))
        assert "\n" not in str(error.value)


def test_jobs_are_immutable_and_round_trip_through_json(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml", MINIMAL))
    with pytest.raises(ValidationError):
        job.seed = 3  # type: ignore[misc]
    assert Job.model_validate_json(job.model_dump_json()) == job
