"""What the database and the sampler cost a trial: a search whose scores cost nothing."""

import tempfile
import time
from dataclasses import dataclass

import optuna

from nasrec_automl import Architecture, load_search_space
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from tests.benchmarks.measure import Figure

_TRIALS = 200


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
    space = load_search_space("nasrec-full")
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{folder}/studies.db")
        study = open_study(storage, name="bench", identity={})
        start = time.perf_counter()
        search(
            study, space, _evaluate, storage=storage, sampler=RegularizedEvolutionSampler(space=space), target=_TRIALS
        )
        taken = time.perf_counter() - start
    return [Figure(f"search overhead a trial, SQLite, {_TRIALS} trials", 1000 * taken / _TRIALS, "ms")]


MEASUREMENTS = {"overhead": _measure}
