"""The history of a study, from which regularised evolution draws children. Equal studies have equal histories."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.randomness import rng_for
from nasrec_automl.search.admission import Admits, everything
from nasrec_automl.search.attributes import ALIVE


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Constants of regularised evolution (arXiv 2207.07187).

    Attributes:
        population_size: how many trials are alive; also how many random ones there are at the start.
        tournament_size: how many of them compete to be a parent.
        children: how many children the winner has.
        generations: G, after which the number of mutations stays at its smallest.
        seed: all randomness derives from it.
    """

    population_size: int
    tournament_size: int
    children: int
    generations: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class History:
    """The trials of a study as regularised evolution needs them.

    Attributes:
        evolution: constants.
        complete: finished trials that count, in order of completion.
        index: index of the next child, from which its randomness derives: the number of trials that have finished or
            run, or the sampled trial's own number if the study already has that trial.
        maximize: whether larger values are better.
        constrained: whether the constraints written in trials count in a tournament. With a budget they do not: they
            may be of an earlier budget, and trials over today's are not in `complete`.
    """

    evolution: Evolution
    complete: list[FrozenTrial]
    index: int
    maximize: bool
    constrained: bool = True

    @classmethod
    def of(
        cls,
        study: optuna.Study,
        evolution: Evolution,
        *,
        number: int | None = None,
        admits: Admits = everything,
        constrained: bool = True,
    ) -> History:
        """Read a study.

        Args:
            study: the study.
            evolution: constants.
            number: number of the sampled trial, if the study already has that trial. The count of trials would not do
                as its index, since two trials may get the same: Optuna samples at the first `suggest`, when trials that
                were begun later may have ended, and pruned trials are not counted at all.
            admits: which finished trials may be parents and count towards a generation.
            constrained: whether the constraints written in trials count.
        """
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        return cls(
            evolution=evolution,
            complete=sorted(filter(admits, complete), key=_completion),
            index=len(trials) if number is None else number,
            maximize=study.direction == StudyDirection.MAXIMIZE,
            constrained=constrained,
        )

    def generation(self) -> int | None:
        """Generation g of the next child, counted from 0; None while the random start is not complete."""
        born = len(self.complete) - self.evolution.population_size
        return None if born < 0 else born // self.evolution.children

    def parent(self, labels: Collection[str]) -> FrozenTrial | None:
        """The winner of the generation's tournament, the same for all of its children.

        A trial that violates Optuna's constraints loses to one that does not, and to one that violates them less.

        The population is that of the moment when the generation began: the last `population_size` of the trials that
        had been completed by then (ageing: the oldest leave, however good they are).

        Args:
            labels: parameters that a parent must have. Trials that a user has added may lack some.

        Returns:
            The winner; None while the random start is not complete, or if no trial of the population has all of the
            labels.
        """
        evolution, generation = self.evolution, self.generation()
        if generation is None:
            return None
        begin = generation * evolution.children
        alive = self.complete[begin : begin + evolution.population_size]
        population = [trial for trial in alive if all(label in trial.params for label in labels)]
        rng = rng_for("tournament", evolution.seed, generation)
        drawn = rng.choice(len(population), min(evolution.tournament_size, len(population)), replace=False)
        sign = -1.0 if self.maximize else 1.0
        # The older of two equals wins.

        def order(i: int) -> tuple[float, float, int]:
            trial = population[i]
            return _violation(trial) if self.constrained else 0.0, sign * (trial.value or 0.0), i

        best = min(drawn, key=order, default=None)
        return None if best is None else population[best]

    def child_rng(self, attempt: int) -> np.random.Generator:
        """The random generator of one attempt to make the next child.

        It derives from `index`, not from the number of the trial that this package writes: a child that is tried again
        gets another number.
        """
        return rng_for("child", self.evolution.seed, self.index, attempt)


def _violation(trial: FrozenTrial) -> float:
    """The sum of a trial's constraint violations, as Optuna's own samplers compute it."""
    return sum(max(0.0, excess) for excess in trial.constraints.values())


def _completion(trial: FrozenTrial) -> tuple[float, int]:
    # Optuna's own time is local to whoever wrote it: workers need not have one time zone, nor a zone one time.
    ended = trial.user_attrs.get(ALIVE)
    if not isinstance(ended, float):
        assert trial.datetime_complete is not None  # Optuna's own invariant of a complete trial.
        ended = trial.datetime_complete.timestamp()
    return ended, trial.number
