"""Regularised (ageing) evolution as an Optuna sampler."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Collection
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.search.admission import Admission
from nasrec_automl.search.distributions import architecture_of, distributions
from nasrec_automl.search.history import Evolution, History
from nasrec_automl.search.mutation import draw, mutate_params, mutations
from nasrec_automl.search.proposals import first_new, unseen
from nasrec_automl.search.tried import Tried
from nasrec_automl.space import SearchSpace

_logger = logging.getLogger(__name__)

_ATTEMPTS = 20
"""Children that may be known already before a random architecture takes their place."""


class RegularizedEvolutionSampler(BaseSampler):
    """Ageing evolution (Real et al., arXiv 1802.01548) by NASRec's generations (arXiv 2207.07187).

    The sampler keeps no population: it reads the study, so that any number of processes can share one, and a
    search that was stopped goes on where it was. Equal studies and seeds give equal proposals.

    With a search space, every label is sampled at once, by the space's own random start and mutation. Without one, any
    define-by-run objective works: a child has its parent's parameters, and a mutation draws one of them again,
    uniformly from its distribution. Parameters that the parent lacks are drawn uniformly.

    With a search space, an architecture that has finished or runs is not proposed again while others are left, unless
    trials have further parameters, such as a learning rate.

    With a budget, architectures over it are never proposed, and trials over it are never parents: a child over the
    budget is mutated again, with other randomness.

    Args:
        space: the search space, or None.
        budget: what an architecture of the space may cost.
        population_size: how many trials are alive; also the number of random ones at the start.
        tournament_size: how many of them compete to be a parent; by default half of them.
        children: how many children the winner has, before the next tournament.
        generations: G; a child has (G - g) // max(20, G // 5) + 1 mutations at generation g. By default (0) it always
            has one; for more in the beginning give the number of generations that the study is to have.
        seed: all randomness derives from it and from the study; None for another one each time.

    Raises:
        StudyError: an argument is out of its range, or (from its methods, as a `ValueError`) a study has more
            than one objective.

    Example:
        >>> import optuna
        >>> sampler = RegularizedEvolutionSampler(population_size=8, tournament_size=4, children=2)
        >>> study = optuna.create_study(sampler=sampler)
        >>> study.optimize(lambda trial: trial.suggest_categorical("x", [3, 1, 2]), n_trials=20)
        >>> study.best_value
        1.0
    """

    def __init__(
        self,
        *,
        space: SearchSpace | None = None,
        budget: Budget | None = None,
        population_size: int = 128,
        tournament_size: int | None = None,
        children: int = 8,
        generations: int = 0,
        seed: int | None = 0,
    ) -> None:
        if tournament_size is None:
            tournament_size = max(1, population_size // 2)
        if seed is None:
            seed = secrets.randbits(32)
        for name, value in (
            ("population_size", population_size),
            ("tournament_size", tournament_size),
            ("children", children),
            ("generations", generations),
            ("seed", seed),
        ):
            if not isinstance(value, int | np.integer):
                raise StudyError(f"{name} must be a whole number, but it is {value!r}")
        for name, value in (("population_size", population_size), ("children", children)):
            if value < 1:
                raise StudyError(f"{name} must be at least 1, but it is {value}")
        if not 1 <= tournament_size <= population_size:
            raise StudyError(
                f"tournament_size must be from 1 to population_size ({population_size}), but it is {tournament_size}"
            )
        if generations < 0 or seed < 0:
            raise StudyError(f"generations ({generations}) and seed ({seed}) must not be negative")
        if budget is not None and space is None:
            raise StudyError("a budget is one of architectures: pass space=... too")
        self._space = space
        self._labels: tuple[str, ...] = () if space is None else tuple(space.labels)
        self._budget = budget
        self._tried = None if space is None else Tried(space)
        self._admits = _has_params if space is None else Admission(space, budget)
        self._evolution = Evolution(
            population_size=population_size,
            tournament_size=tournament_size,
            children=children,
            generations=generations,
            seed=seed,
        )

    def propose(self, study: optuna.Study, *, seen: Collection[str]) -> Architecture | None:
        """Propose an architecture that is new, without writing a trial.

        Args:
            study: the study.
            seen: keys that the architecture must not have.

        Returns:
            None when every key of the space, or of those inside the budget, is among `seen` (of a space too large
            to be listed: when no other was found).

        Raises:
            BudgetError: no architecture inside the budget was found.
        """
        space = self._required_space()
        _refuse_many_objectives(study)
        return self._next(space, self._history(study), seen)

    # Optuna's contract.

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every label of the space; without a space, the parameters of the trial's parent, if it has one."""
        if self._space is not None:
            return dict(distributions(self._space))
        _refuse_many_objectives(study)
        parent, _ = self._parent(self._history(study, number=trial.number), ())
        if parent is None:
            return {}
        return {name: distribution for name, distribution in parent.distributions.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample all parameters of the trial at once."""
        _refuse_many_objectives(study)
        history = self._history(study, number=trial.number)
        if self._space is not None and self._tried is not None:
            architecture = self._next(self._space, history, self._tried.keys(study, trial))
            if architecture is None:
                architecture = self._next(self._space, history, ())
            assert architecture is not None  # nothing is seen, so that there is one, or an error
            params = architecture.params
            return {name: params[name] for name in search_space if name in params}
        parent, times = self._parent(history, ())
        return mutate_params(
            study,
            trial,
            search_space,
            parent={} if parent is None else parent.params,
            times=times,
            rng=history.child_rng(0),
        )

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one parameter uniformly: in the random first trials, and where the parent lacks it."""
        _refuse_many_objectives(study)
        label = next((one for one in self._labels if param_name != one and param_name.endswith(one)), None)
        if label is not None:
            self._labels = ()  # said once
            _logger.warning(
                "the parameter %r is no label of the space, and is drawn at random: to evolve it, name it %r",
                param_name,
                label,
            )
        return draw(self._evolution.seed, study, trial, param_name, param_distribution)

    # One child.

    def _history(self, study: optuna.Study, number: int | None = None) -> History:
        return History.of(study, self._evolution, number=number, admits=self._admits, constrained=self._budget is None)

    def _next(self, space: SearchSpace, history: History, seen: Collection[str]) -> Architecture | None:
        children = (self._architecture(space, history, attempt) for attempt in itertools.count())
        found = first_new(children, seen=seen, budget=self._budget, known=_ATTEMPTS)
        if found is not None:
            return found
        rng = history.child_rng(_ATTEMPTS)
        return unseen(space, rng, seen=seen, budget=self._budget)

    def _architecture(self, space: SearchSpace, history: History, attempt: int) -> Architecture:
        rng = history.child_rng(attempt)
        parent, times = self._parent(history, space.labels.keys())
        architecture = None if parent is None else architecture_of(parent.params, space)
        if architecture is None:
            return space.random(rng, inputs="uniform")
        return space.mutate(architecture, rng, times=times)

    def _parent(self, history: History, labels: Collection[str]) -> tuple[FrozenTrial | None, int]:
        """The parent of the next child, if it has one, and how many mutations part them."""
        generation = history.generation()
        times = 0 if generation is None else mutations(generation, self._evolution.generations)
        return history.parent(labels), times

    def _required_space(self) -> SearchSpace:
        if self._space is None:
            raise StudyError("only a sampler with a search space can propose architectures: pass space=...")
        return self._space


def _has_params(trial: FrozenTrial) -> bool:
    """Whether a trial has parameters and so can be a parent: a trial that a user adds may have none."""
    return bool(trial.params)


def _refuse_many_objectives(study: optuna.Study) -> None:
    if len(study.directions) > 1:
        raise StudyError(
            f"RegularizedEvolutionSampler optimises one value, but the study has {len(study.directions)}; "
            "use optuna.samplers.NSGAIISampler for several"
        )
