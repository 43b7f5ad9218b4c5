"""The ranking of a search's architectures, and which of them set the bar for the next one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.pareto import front_order
from nasrec_automl.search.admission import Admits, everything
from nasrec_automl.search.attributes import STOPPED
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.space import SearchSpace


def best_first(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials, the best first, equals by number. The value of one that was stopped early is an estimate.

    With several objectives: first the Pareto front, then the Pareto front of the rest, and so on; each front is sorted
    by the first objective.
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    return [trials[i] for i in front_order([trial.values for trial in trials])]


def incumbents(
    study: optuna.Study, space: SearchSpace, most: int, *, admits: Admits = everything
) -> list[Architecture]:
    """The best architectures that were scored on all rows, the best first.

    Trials that users have added do not count: nobody knows on which rows their values were measured.

    Args:
        study: the search study; nothing but its finished trials counts.
        space: of the study.
        most: how many at most.
        admits: which trials count.
    """
    if not most:
        return []
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    counting = (t for t in trials if t.user_attrs.get(STOPPED) is False and admits(t))
    return list(itertools.islice(distinct_best_first(counting, space), most))


def distinct_best_first(trials: Iterable[FrozenTrial], space: SearchSpace) -> Iterator[Architecture]:
    """The architectures of finished trials, the best first, each key once: users may add the same one again."""
    seen: set[str] = set()
    for trial in best_first(trials):
        architecture = architecture_of(trial.params, space)
        if architecture is not None and architecture.key not in seen:
            seen.add(architecture.key)
            yield architecture
