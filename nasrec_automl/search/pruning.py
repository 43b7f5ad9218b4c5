"""A pruner that ends trainings which fall behind."""

from __future__ import annotations

import math
import zlib
from itertools import accumulate

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.task import ENDED

FIRST_RUNG = 4
"""Validations before trainings are first compared. Earlier, those that learn fast are ahead, not those that end well;
later, less time is left to save. `python -m tests.benchmarks rungs` measures it."""


class KeyedHyperband(BasePruner):
    """Hyperband (arXiv 1603.06560) over the validations of a training, with asynchronous halving (arXiv 1810.05934).

    Brackets differ in their first rung: 4, 12, 36, ... validations with a reduction of 3, or whatever a training
    reports as equal progress, such as shares of a schedule. At each rung of its bracket a training goes on if it is
    among the best third of the bracket's trainings that have reached the rung so far.

    Optuna's `HyperbandPruner` draws the bracket from the trial's number, and counts what a killed attempt reported
    beside what its next attempt reports. Here the bracket follows from the trial's key and failed attempts do not
    count, so that a study that was interrupted prunes as an unbroken one does. Nothing is kept outside the study.

    Args:
        validations: number of validations of a training that goes to its end; at its end nothing is pruned.
        reduction: r: each rung comes after r times the validations of the rung before, and one of r trainings goes on
            from it.
        most_brackets: how many there are at most; with 1 this is successive halving (arXiv 1502.07943).
    """

    def __init__(self, validations: int, *, reduction: int = 3, most_brackets: int | None = None) -> None:
        self._validations = validations
        self._reduction = reduction
        brackets = 1 + max(0, math.floor(math.log(validations / FIRST_RUNG, reduction) + 1e-9))
        brackets = min(brackets, most_brackets or brackets)
        # Shares of the trainings, as in the paper's algorithm 1: the same budget for each bracket.
        self._shares = [math.ceil(brackets * reduction ** (brackets - 1 - b) / (brackets - b)) for b in range(brackets)]

    def bracket(self, key: str) -> int:
        """The bracket of the trainings with this key."""
        place = zlib.crc32(key.encode()) % sum(self._shares)
        return next(bracket for bracket, end in enumerate(accumulate(self._shares)) if place < end)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to end a training that has just reported. Trials without a key of this package are never ended."""
        step, key = trial.last_step, trial.user_attrs.get(KEY)
        if step is None or key is None or step >= self._validations or not self._is_rung(step, self.bracket(key)):
            return False
        value = float(trial.intermediate_values[step])
        if math.isnan(value):
            return True
        reached: list[float] = [value, *self._rivals(study, trial, step)]
        promoted = max(1, len(reached) // self._reduction)
        return value > sorted(reached)[promoted - 1]

    def _is_rung(self, step: int, bracket: int) -> bool:
        rung: int = FIRST_RUNG * self._reduction**bracket
        while rung < step:
            rung *= self._reduction
        return rung == step

    def _rivals(self, study: optuna.Study, trial: FrozenTrial, step: int) -> list[float]:
        key = trial.user_attrs[KEY]  # another trial of this key is an attempt at the same training
        states = ENDED | {TrialState.RUNNING}
        return [
            other.intermediate_values[step]
            for other in study.get_trials(deepcopy=False, states=states)
            if step in other.intermediate_values
            and other.user_attrs.get(KEY, key) != key
            and self.bracket(other.user_attrs[KEY]) == self.bracket(key)
        ]
