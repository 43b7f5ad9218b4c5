"""Architectures that a study has already, for a sampler that Optuna asks for the parameters of a trial."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.space import SearchSpace

_WITH_MORE = "with more parameters"


class Tried:
    """Says which architectures another trial would repeat.

    A sampler asks about every trial each time, so the keys of finished ones are computed once.

    Args:
        space: the space that the trials are of.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._finished: dict[tuple[Any, ...], str] = {}

    def keys(self, study: optuna.Study, trial: FrozenTrial) -> Set[str]:
        """Keys of the study's other trials that have finished or run.

        None of them where a trial has parameters beside the space's labels, such as a learning rate: then an
        architecture is worth more than one trial.
        """
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        keys = {self._key(other) for other in trials if other.number != trial.number}
        return frozenset() if _WITH_MORE in keys else keys

    def _key(self, trial: FrozenTrial) -> str:
        """A trial's key; an empty string where it has none, as a running one that lacks some labels yet."""
        identity = (trial.number, trial.datetime_start)
        if identity in self._finished:
            return self._finished[identity]
        if trial.params.keys() - self._space.labels.keys():
            key = _WITH_MORE
        else:
            architecture = architecture_of(trial.params, self._space)
            key = "" if architecture is None else architecture.key
        if trial.state == TrialState.COMPLETE:
            self._finished[identity] = key
        return key
