"""What the database and the sampler cost a trial: searches whose scores cost nothing."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import psutil
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage

from nasrec_automl import Architecture, load_search_space
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from nasrec_automl.search.distributions import distributions
from tests.benchmarks.measure import Figure, seconds

_TRIALS = 200
_MANY = 10_000
_MORE = 100
_PLAIN = 30

_SPACE = load_search_space("nasrec-full")


@dataclass(frozen=True)
class _Score:
    log_loss: float
    auc: float = 0.5
    standard_error: float = 0.0
    rows: int = 0
    stopped: bool = False


def _evaluate(architecture: Architecture) -> _Score:
    return _Score(int(architecture.key, 16) / 2**64)


def _measure() -> list[Figure]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "studies.db"
        with _opened(path) as (storage, study):
            few = seconds(partial(_search, storage, study, _TRIALS)) / _TRIALS
            plain = seconds(partial(_optimize, storage)) / _PLAIN
        _multiply(path, _MANY // _TRIALS)
        before = psutil.Process().memory_info().rss
        with _opened(path) as (storage, study):
            opening = seconds(partial(study.get_trials, deepcopy=False))
            grown = psutil.Process().memory_info().rss - before
            many = seconds(partial(_search, storage, study, _MANY + _MORE)) / _MORE
    return [
        Figure(f"search overhead a trial, SQLite, {_TRIALS} trials", 1000 * few, "ms", "at most 60 ms", 0.06 / few, 1),
        Figure(f"search overhead a trial, SQLite, {_MANY} trials", 1000 * many, "ms", "at most 100 ms", 0.1 / many, 1),
        Figure("the same labels by Study.optimize, at random", 1000 * plain, "ms"),
        Figure(f"first reading of a study of {_MANY} trials, once a process", opening, "s"),
        Figure(f"memory of {_MANY} trials in a worker, {_MANY * len(_SPACE.labels):,} parameters", grown / 1e6, "MB"),
    ]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BaseStorage, optuna.Study]]:
    """The bench's study as a new process would see it."""
    storage = open_storage(f"sqlite:///{path}")
    yield storage, open_study(storage, name="bench", identity={})
    storage.remove_session()


def _search(storage: BaseStorage, study: optuna.Study, target: int) -> None:
    search(study, _SPACE, _evaluate, storage=storage, sampler=RegularizedEvolutionSampler(space=_SPACE), target=target)


def _optimize(storage: BaseStorage) -> None:
    """What a plain Optuna objective over the same labels pays: a transaction for each of them."""
    labels = distributions(_SPACE)

    def objective(trial: optuna.Trial) -> float:
        return len({trial.suggest_categorical(label, choice.choices) for label, choice in labels.items()})

    optuna.create_study(storage=storage, sampler=RandomSampler(seed=0)).optimize(objective, n_trials=_PLAIN)


def _multiply(path: Path, times: int) -> None:
    """Copy the study's trials until it has `times` as many: writing them one by one would take eight minutes."""
    with sqlite3.connect(path) as database:
        select = "SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = 'bench'"
        step = 1 + database.execute("SELECT max(trial_id) FROM trials").fetchone()[0]
        count = len(database.execute(select).fetchall())
        shifted = {"trial_id": "trial_id + :copy * :step", "number": "number + :copy * :count"}
        for table in ("trials", "trial_params", "trial_values", "trial_user_attributes"):
            first, *columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if table == "trials":
                columns.append(first)  # the other tables number their own rows
            names = ", ".join(f'"{name}"' for name in columns)
            values = ", ".join(shifted.get(name, f'"{name}"') for name in columns)
            originals = f"SELECT {values} FROM {table} WHERE trial_id < :step AND trial_id IN ({select})"
            for copy in range(1, times):
                numbers = {"copy": copy, "step": step, "count": count}
                database.execute(f"INSERT INTO {table} ({names}) {originals}", numbers)


MEASUREMENTS = {"overhead": _measure}
