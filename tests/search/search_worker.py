"""A worker in a process of its own: `python search_worker.py URL TARGET SECONDS [RETRIES [deadly|safe [SAMPLER]]]`.

Deadly is the first architecture then: the process that scores it dies. All samplers but evolution minimise
multiply-adds too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.config import SearchConfig
from nasrec_automl.heartbeat import LOST_AFTER
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.search import RegularizedEvolutionSampler, Score, WorkerOptions, open_storage, open_study, search
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.samplers import make_sampler
from nasrec_automl.search.stale import close_stale
from nasrec_automl.space import SearchSpace


@dataclass(frozen=True)
class FakeScore(Score):
    auc: float = 0.5
    standard_error: float = 0.01
    rows: int = 100
    stopped: bool = False


def score(architecture: Architecture) -> FakeScore:
    """Cheap, and the same in every process."""
    return FakeScore(int(architecture.key[:8], 16) / 2**32)


def sampler(space: SearchSpace) -> RegularizedEvolutionSampler:
    return RegularizedEvolutionSampler(space=space, population_size=8, tournament_size=4, children=4)


def fail_stale(study: optuna.Study, storage: BaseStorage, *, lost_after: float = LOST_AFTER) -> int:
    return close_stale(Ledger(study, storage), trials(study, TrialState.RUNNING), lost_after=lost_after)


def trials(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=states)


def main(
    url: str, target: str, seconds: str, retries: str = "20", deadly: str = "safe", sampler: str = "evolution"
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = SearchSpace(
        name="two-blocks",
        blocks=2,
        dense_ops=("fc", "dot_product"),
        sparse_ops=("efc",),
        dense_dims=(16, 32),
        sparse_dims=(16, 32),
    )
    storage = open_storage(url)
    objectives = ["log_loss"] if sampler == "evolution" else ["log_loss", "macs"]
    study = open_study(storage, name="search", identity={"space": space.name}, objectives=objectives)
    budget = Budget(FeatureSchema.from_sizes(dense=3, table_sizes=[10] * 4))
    config = SearchConfig.model_validate(
        {"architectures": 42, "sampler": sampler, "objectives": objectives, "population": 10, "tournament": 5}
        | {"children": 4}
    )

    first = space.random(np.random.default_rng(5))

    def evaluate(architecture: Architecture) -> FakeScore:
        if deadly == "deadly" and architecture == first:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(seconds))
        return score(architecture)

    print("ready", flush=True)
    search(
        study,
        space,
        evaluate,
        storage=storage,
        sampler=make_sampler(config, space, budget, seed=3),
        budget=budget,
        objectives=objectives,
        target=int(target),
        first=[first],
        options=WorkerOptions(retries=int(retries), poll=0.05),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
