"""What a worker works on."""

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
class Outcome:
    """How a trial ended.

    Attributes:
        value: what the study optimises, such as a log loss in nats; a pruned trial may have none.
        state: COMPLETE or PRUNED.
        further: what else a study of several objectives minimises, in its order.
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
        notes: what Optuna's sampler noted with them: system attributes, written with the trial in one transaction.
        lost: the failed trial that this one tries again; its notes stand in place of `notes`.
    """

    params: Params
    notes: Mapping[str, Any] = field(default_factory=dict)
    lost: FrozenTrial | None = None


class TrialSource(ABC):
    """What trials of a study are about, and which comes next. `Worker` calls it.

    For each trial a worker calls `propose` (unless a trial of a dead worker waits to be tried again), then `key`,
    `describe` and `constraints`, and writes the trial. None of them changes the study.

    Attributes:
        distributions: of every parameter; the same for all trials of a study. A trial has those that apply; what they
            depend on comes before them.
        seed: of the draws of parameters that a user's enqueued trials leave open.
        finished: states that count as finished. A pruned trial is not tried again, whether it counts or not.
    """

    distributions: Mapping[str, BaseDistribution]
    seed: int = 0
    finished: frozenset[TrialState] = frozenset({TrialState.COMPLETE})

    @abstractmethod
    def key(self, params: Params) -> str | None:
        """What makes two trials the same, or None where the parameters are not this source's."""

    @abstractmethod
    def propose(self, census: Census) -> Proposal | None:
        """The next trial, with a key not in `census.taken`; None when there is none."""

    def applies(self, name: str, params: Params) -> bool:
        """Whether a trial that begins with these parameters has the one of this name."""
        return True

    def describe(self, params: Params) -> Mapping[str, Any]:
        """Attributes that are known before the trial runs; they are written with it, in one transaction."""
        return {}

    def constraints(self, params: Params) -> Mapping[str, float]:
        """Optuna's constraints of the trial, written with it: above 0 where one is violated."""
        return {}

    def admits(self, trial: FrozenTrial) -> bool:
        """Whether a trial is one of those that the study is to have, such as one that is inside today's budget.

        Others do not count and are not tried again, but their keys are not proposed either.
        """
        return True


class Task(TrialSource):
    """A source whose trials run where they were begun; `work` drives it."""

    @abstractmethod
    def run(self, trial: FrozenTrial) -> Outcome:
        """Find the value of a running trial; it may report intermediate values to the study.

        A DivergedError ends its trial alone, which counts as pruned. What else it raises fails the trial and ends the
        worker.
        """
