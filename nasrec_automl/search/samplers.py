"""The search's samplers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.budget import Budget
from nasrec_automl.config import SearchConfig
from nasrec_automl.randomness import seed_for
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.evolution import RegularizedEvolutionSampler
from nasrec_automl.search.mutation import generations_of
from nasrec_automl.search.random_sampler import ArchitectureRandomSampler
from nasrec_automl.space import SearchSpace


def make_sampler(config: SearchConfig, space: SearchSpace, budget: Budget, seed: int) -> BaseSampler:
    """The sampler that a job names. Its proposals depend on the study and the seed alone.

    Args:
        config: the job's section.
        space: the search space.
        budget: what an architecture may cost.
        seed: all randomness derives from it.
    """
    if config.sampler == "evolution":
        return RegularizedEvolutionSampler(
            space=space,
            budget=budget,
            population_size=config.population,
            tournament_size=config.tournament,
            children=config.children,
            generations=generations_of(config.architectures, config.population, config.children),
            seed=seed,
        )
    if config.sampler == "random":
        return ArchitectureRandomSampler(space, budget=budget, seed=seed)
    # The labels, which are the same for all trials. Optuna would look at every trial for those that all have, and a
    # trial that a user added with a few of them would leave no others to be drawn together.
    labels = distributions(space)
    if config.sampler == "tpe":
        # In Optuna's own order. Of several objectives TPE draws each label by itself.
        together = None if config.several else dict(sorted(labels.items()))
        return Reseeded(lambda own: TPESampler(seed=own, n_startup_trials=config.population), seed, relative=together)
    return Reseeded(lambda own: NSGAIISampler(population_size=config.population, seed=own), seed, relative=labels)


class Reseeded(BaseSampler):
    """One of Optuna's samplers, made anew for every trial.

    Optuna's samplers draw from a generator that lives as long as their process. Here the seed of each draw derives
    from the number of trials that have finished or run: a search that was killed goes on as if it had not been.

    Args:
        make: makes the sampler, with a seed.
        seed: all randomness derives from it and from the study.
        relative: parameters that the sampler draws together; by default the sampler finds them itself.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], seed: int, *, relative: Mapping[str, BaseDistribution] | None = None
    ) -> None:
        self._make = make
        self._seed = seed
        self._relative = relative
        self._begun = -1
        self._parents: tuple[optuna.Study | None, int] = (None, 0)
        self._attempt = 0
        self._sampler = make(seed % 2**32)  # Optuna takes no larger one, and a job does

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the sampler for this trial, with another seed if the last proposal for it was not taken."""
        begun = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING)))
        self._attempt = self._attempt + 1 if begun == self._begun else 0
        self._begun = begun
        self._sampler = self._make(seed_for("sampler", self._seed, begun, self._attempt))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together."""
        if self._relative is not None:
            return dict(self._relative)
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw parameters together."""
        if isinstance(self._sampler, BaseGASampler):
            # Its parents come in another order when they are chosen than when they are found again. Of many generations
            # that a study has already Optuna would choose them from the last to the first, one call within another.
            generation, (of, chosen) = self._sampler.get_trial_generation(study, trial), self._parents
            for earlier in range(chosen + 1 if of is study else 1, generation):
                self._sampler.get_parent_population(study, earlier)
            self._sampler.get_parent_population(study, generation)
            self._parents = (study, generation - 1)
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler note how a trial ended."""
        self._sampler.after_trial(study, trial, state, values)
