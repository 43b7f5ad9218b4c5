"""Random architectures as an Optuna sampler."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.randomness import rng_for
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.mutation import draw
from nasrec_automl.search.proposals import unseen
from nasrec_automl.search.tried import Tried
from nasrec_automl.space import SearchSpace

_PURPOSE = "random search"


class ArchitectureRandomSampler(BaseSampler):
    """Random search with NASRec's distribution of the number of inputs (arXiv 2207.07187).

    Optuna's own random sampler draws a set of inputs uniformly out of all sets. Large sets outnumber small ones, so it
    favours many inputs. This sampler draws the number of inputs first. It serves any number of objectives, and keeps no
    state: equal seeds and studies give equal proposals. An architecture that has finished or runs is not proposed again
    while others are left, unless trials have further parameters, such as a learning rate.

    Args:
        space: the search space. Parameters beside its labels are drawn uniformly.
        budget: what an architecture may cost.
        seed: all randomness derives from it and from the study; None for another one each time.

    Raises:
        StudyError: the seed is negative.

    Example:
        >>> import optuna
        >>> from nasrec_automl import load_search_space
        >>> from nasrec_automl.search import distributions
        >>> space = load_search_space("nasrec-full")
        >>> study = optuna.create_study(sampler=ArchitectureRandomSampler(space))
        >>> trial = study.ask(distributions(space))
        >>> space.from_params(trial.params).params == trial.params
        True
    """

    def __init__(self, space: SearchSpace, *, budget: Budget | None = None, seed: int | None = 0) -> None:
        if seed is None:
            seed = secrets.randbits(32)
        if seed < 0:
            raise StudyError(f"seed must not be negative, but it is {seed}")
        self._space = space
        self._budget = budget
        self._seed = seed
        self._tried = Tried(space)

    def propose(self, study: optuna.Study, *, seen: Collection[str]) -> Architecture | None:
        """Propose an architecture that is new, without writing a trial; None where none is left."""
        # Those that failed do not count: a search that was killed and started again draws what it would have drawn.
        begun = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        rng = rng_for(_PURPOSE, self._seed, len(begun))
        return self._draw(rng, seen)

    # Optuna's contract.

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every label of the space."""
        return dict(distributions(self._space))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample a whole architecture."""
        rng = rng_for(_PURPOSE, self._seed, trial.number)
        architecture = self._draw(rng, self._tried.keys(study, trial)) or self._draw(rng, ())
        assert architecture is not None  # nothing is seen, so that there is one, or an error
        params = architecture.params
        return {name: params[name] for name in search_space if name in params}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample a parameter that is no label of the space, uniformly."""
        return draw(self._seed, study, trial, param_name, param_distribution)

    def _draw(self, rng: np.random.Generator, seen: Collection[str]) -> Architecture | None:
        return unseen(self._space, rng, seen=seen, budget=self._budget, inputs="binomial")
