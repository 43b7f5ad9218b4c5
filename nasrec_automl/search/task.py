"""Where a worker's trials come from, and how they are run."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.digest import digest
from nasrec_automl.errors import DivergedError

if TYPE_CHECKING:
    from nasrec_automl.search.census import Census

Params = Mapping[str, Any]

ENDED = frozenset({TrialState.COMPLETE, TrialState.PRUNED})
"""States of trials that came to an end, and are not tried again."""


def key_of(params: Params) -> str:
    """A short name of parameters; their order does not count."""
    return digest(json.dumps(params, sort_keys=True), 16)


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a trial ended.

    Attributes:
        value: the value that the study optimises, such as a log loss in nats; a pruned trial may have none.
        state: COMPLETE or PRUNED.
        further: values of the study's other objectives, in its order.
        reason: why a trial was pruned, in a sentence.
        attrs: written to the trial under `nasrec:<name>`; JSON values.
    """

    value: float | None
    state: TrialState = TrialState.COMPLETE
    attrs: Mapping[str, Any] = field(default_factory=dict)
    further: Sequence[float] = ()
    reason: str | None = None

    @classmethod
    def of_diverged(cls, error: DivergedError) -> Self:
        """The outcome of a training that diverged: pruned.

        Its hyper-parameters are at fault, not the run. A trial of state FAIL would be tried again by this package, and
        TPE would not see it; a pruned one counts, and TPE learns to stay away from it.
        """
        return cls(state=TrialState.PRUNED, value=None, reason=f"the training diverged at {error}")

    @property
    def values(self) -> list[float] | None:
        """The values of all objectives, as Optuna takes them."""
        return None if self.value is None else [self.value, *self.further]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial that is to begin.

    Attributes:
        params: its parameters.
        notes: system attributes of Optuna's sampler, written with the trial in one transaction.
        lost: the failed trial that this one tries again; its notes stand in place of `notes`.
    """

    params: Params
    notes: Mapping[str, Any] = field(default_factory=dict)
    lost: FrozenTrial | None = None


class TrialSource(ABC):
    """Defines the trials of a study: their parameters, their keys, and which comes next. `Worker` calls it.

    For each trial a worker calls `propose` (unless a trial of a dead worker waits to be tried again), then `key`,
    `describe` and `constraints`, and writes the trial. None of them changes the study.

    Attributes:
        distributions: distributions of all parameters, the same for all trials of a study. A trial has the parameters
            that apply to it. A parameter comes after those that it depends on.
        seed: seed for parameters that a user's enqueued trials leave open.
        finished: states that count as finished. A pruned trial is not tried again, whether it counts or not.
    """

    distributions: Mapping[str, BaseDistribution]
    seed: int = 0
    finished: frozenset[TrialState] = frozenset({TrialState.COMPLETE})

    @abstractmethod
    def key(self, params: Params) -> str | None:
        """The key of a trial: two trials with one key try the same. None if the parameters do not fit this source."""

    @abstractmethod
    def propose(self, census: Census) -> Proposal | None:
        """The next trial, with a key not in `census.taken`; None when there is none."""

    def applies(self, name: str, params: Params) -> bool:
        """Whether a trial has the parameter of this name, given the parameters before it."""
        return True

    def describe(self, params: Params) -> Mapping[str, Any]:
        """Attributes that are known before the trial runs; they are written with it, in one transaction."""
        return {}

    def constraints(self, params: Params) -> Mapping[str, float]:
        """Optuna's constraints of the trial, written with it: above 0 where one is violated."""
        return {}

    def admits(self, trial: FrozenTrial) -> bool:
        """Whether a trial counts towards the study's target, such as one that is inside today's budget.

        Other trials are not tried again, but their keys are not proposed either.
        """
        return True


class Task(TrialSource):
    """A trial source that also runs its trials, in the process that began them. `work` drives it."""

    @abstractmethod
    def run(self, trial: FrozenTrial) -> TrialOutcome:
        """Find the value of a running trial; it may report intermediate values to the study.

        A DivergedError ends its trial alone, which counts as pruned. Any other exception fails the trial and ends the
        worker.
        """
