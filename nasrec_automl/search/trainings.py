"""Studies of trainings from scratch whose architectures and seeds are given, and not searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.census import Census
from nasrec_automl.search.distributions import architecture_of, distributions
from nasrec_automl.search.ledger import Ledger, Reached
from nasrec_automl.search.loop import OnTrial, work
from nasrec_automl.search.task import ENDED, Params, Proposal, Task, TrialOutcome
from nasrec_automl.space import SearchSpace

SEED = "seed"
"""The parameter beside the labels of the architecture: 0 for the first seed."""

MOST_SEEDS = 1000

TrainArchitecture = Callable[[Architecture, int, Reached], TrialOutcome]
"""`train(architecture, seed, reached)`: its value is a log loss, in nats; or raise DivergedError."""


def train_each(
    study: optuna.Study,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    seeds: int,
    train: TrainArchitecture,
    *,
    storage: BaseStorage,
    on_trial: OnTrial | None = None,
) -> int:
    """Train each architecture once with each seed, leaving out trainings that the study already has.

    A later call may ask for other architectures and seeds in the same study, which keeps its earlier trainings.

    Args:
        study: the study, from `open_study`; it minimises log loss.
        space: the architectures' space.
        architectures: architectures, no two with one key. All are trained with the first seed before any is with the
            second.
        seeds: number of seeds for each architecture, at most `MOST_SEEDS`.
        train: trains one architecture with one seed. A training that diverges counts, as pruned, and is not tried
            again.
        storage: the storage that holds the study.
        on_trial: called after each training.

    Returns:
        How many trainings this worker has finished.
    """
    task = _Trainings(Ledger(study, storage), space, architectures, seeds, train)
    return work(task, study, storage=storage, target=len(task.wanted), on_trial=on_trial)


def trained_losses(study: optuna.Study, architectures: Sequence[Architecture], seeds: int) -> NDArray[np.float64]:
    """Log losses `(architectures, seeds)`; NaN where a training has diverged, failed, or is still to be done."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    known = {trial.user_attrs.get(KEY): trial.values[0] for trial in trials}
    return np.array([[known.get(training_key(one, seed), np.nan) for seed in range(seeds)] for one in architectures])


def count_trained(study: optuna.Study, architectures: Sequence[Architecture], seeds: int) -> int:
    """How many of these trainings have ended, well or not."""
    ended = study.get_trials(deepcopy=False, states=ENDED)
    known = {trial.user_attrs.get(KEY) for trial in ended}
    return sum(training_key(one, seed) in known for one in architectures for seed in range(seeds))


def training_key(architecture: Architecture, seed: int) -> str:
    """The key of the trial in which an architecture is trained with a seed."""
    return f"{architecture.key}-{seed}"


class _Trainings(Task):
    finished = ENDED

    def __init__(
        self,
        ledger: Ledger,
        space: SearchSpace,
        architectures: Sequence[Architecture],
        seeds: int,
        train: TrainArchitecture,
    ) -> None:
        self.distributions = {**distributions(space), SEED: IntDistribution(0, MOST_SEEDS - 1)}
        self.wanted: Mapping[str, dict[str, Any]] = {
            training_key(architecture, seed): {**architecture.params, SEED: seed}
            for seed in range(seeds)
            for architecture in architectures
        }
        self._ledger = ledger
        self._space = space
        self._train = train

    def key(self, params: Params) -> str | None:
        architecture = architecture_of(params, self._space)
        return None if architecture is None or SEED not in params else training_key(architecture, params[SEED])

    def propose(self, census: Census) -> Proposal | None:
        return next((Proposal(params) for key, params in self.wanted.items() if key not in census.taken), None)

    def admits(self, trial: FrozenTrial) -> bool:
        return (trial.user_attrs.get(KEY) or self.key(trial.params)) in self.wanted

    def run(self, trial: FrozenTrial) -> TrialOutcome:
        architecture = architecture_of(trial.params, self._space)
        assert architecture is not None  # it has a key
        return self._train(architecture, trial.params[SEED], self._ledger.reached(trial))
