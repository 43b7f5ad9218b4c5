"""The search: architectures are scored until the study has enough of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import BudgetError, StudyError
from nasrec_automl.score import Score
from nasrec_automl.search.admission import Admission, violations, violations_of
from nasrec_automl.search.attributes import LOG_LOSS, PREFIX, PRUNED, REASON
from nasrec_automl.search.census import Census
from nasrec_automl.search.database import patiently
from nasrec_automl.search.distributions import architecture_of, distributions
from nasrec_automl.search.loop import OnTrial, work
from nasrec_automl.search.mirror import Mirror
from nasrec_automl.search.proposals import Proposer, propose
from nasrec_automl.search.storage import open_storage
from nasrec_automl.search.task import ENDED, Params, Proposal, Task, TrialOutcome, TrialSource
from nasrec_automl.search.worker import WorkerOptions
from nasrec_automl.space import SearchSpace

_logger = logging.getLogger(__name__)

_FEWEST_UNSCORED, _LEAST_SCORED = 16, 0.1
"""Where at least so many architectures have no finite score, and at most this share of all has one, the supernet is at
fault, and the search ends."""


Evaluate = Callable[[Architecture], Score | float]
"""Scores an architecture, or says its log loss alone. It may raise `optuna.TrialPruned`."""


def search(
    study: optuna.Study,
    space: SearchSpace,
    evaluate: Evaluate,
    *,
    storage: BaseStorage | str,
    sampler: BaseSampler,
    target: int,
    count: int | None = None,
    timeout: float | None = None,
    first: Sequence[Architecture] = (),
    budget: Budget | None = None,
    objectives: Sequence[str] = (LOG_LOSS,),
    seed: int = 0,
    on_trial: OnTrial | None = None,
    options: WorkerOptions | None = None,
) -> int:
    """Score architectures until the study has `target` of them, or the space has no other key.

    Any number of processes may do so at once on one study (see `work`). No key is finished twice.

    Args:
        study: the study, from `open_study`.
        space: the space that its trials are of.
        evaluate: scores an architecture. The known fields of the score beside the log loss are written as
            `nasrec:<name>`. What it prunes (`optuna.TrialPruned`) does not count, and is not tried again.
        storage: the storage that holds the study, or its URL.
        sampler: proposes architectures.
        target: how many scored architectures the study is to have, by all workers together.
        count: how many this worker scores at most.
        timeout: seconds that the study's scores may take together, as in `work`.
        first: architectures that come before any that the sampler proposes, such as the hand designs.
        budget: what an architecture may cost. Its costs are written as `nasrec:macs`, `nasrec:parameters` and (where it
            is measured) `nasrec:latency_ms`, and as Optuna's constraints. Architectures of `first` that are over it are
            left out, and trials over it, of an earlier and larger budget, do not count towards `target`.
        objectives: what the study minimises, as in `open_study`: `log_loss`, then any of the budget's costs.
        seed: seed for parameters that a user's enqueued trials leave open; the sampler has a seed of its own.
        on_trial: called after each architecture that this worker has scored.
        options: how to share the study.

    Returns:
        How many this worker has scored.

    Raises:
        StudyError: the database cannot be used, hardly any score is a finite number, the objectives are not the
            study's, or it maximises one. A single score that is no finite number only prunes its trial, with the
            reason; this trial does not count.
        ArchitectureError: one of `first` is no point of the space.
        BudgetError: no architecture inside the budget was found, and none was scored or runs.
        Exception: whatever `evaluate` raises, once its trial has been failed with the reason.
    """
    _check_objectives(study, objectives, budget)
    storage = open_storage(storage) if isinstance(storage, str) else storage
    study.sampler = sampler
    task = _Search(study, space, evaluate, first, budget, seed=seed, costs=objectives[1:])
    scored = work(
        task,
        study,
        storage=storage,
        target=target,
        count=count,
        timeout=timeout,
        on_trial=on_trial,
        options=options,
    )
    if not scored:  # a small space may have been tried whole, for nothing
        patiently(storage, partial(task.refuse_unscored, fewest=1, share=0.0))
    return scored


class ArchitectureSource(TrialSource):
    """A trial source whose trials are architectures of a space.

    Args:
        study: the study; its sampler proposes.
        space: the space.
        first: architectures that come before any that the sampler proposes.
        budget: what an architecture may cost. Those of `first` that are over are left out.
        seed: as in `search`.

    Raises:
        ArchitectureError: one of `first` is no point of the space.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        first: Sequence[Architecture],
        budget: Budget | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.distributions = distributions(space)
        self.seed = seed
        self.space = space
        self._study = study
        self._mirror = Mirror(study, None if budget is None else violations_of(space, budget))
        # Points of this very space, or an error that names the label.
        given = [space.validate_architecture(architecture) for architecture in first]
        self._first = [one for one in given if budget is None or budget.admits(one)]
        if len(self._first) < len(given):
            left_out, keys = len(given) - len(self._first), {one.key for one in self._first}
            over = ", ".join(one.key for one in given if one.key not in keys)
            _logger.warning("%d of the first architectures left out: over the budget (%s): %s", left_out, budget, over)
        self._budget = budget
        self._admission = Admission(space, budget)

    def key(self, params: Params) -> str | None:
        """The architecture's key."""
        architecture = architecture_of(params, self.space)
        return None if architecture is None else architecture.key

    def describe(self, params: Params) -> Mapping[str, Any]:
        """The architecture's costs, which are known before it is scored."""
        return {} if self._budget is None else self._budget.costs(self.space.from_params(params))

    def constraints(self, params: Params) -> Mapping[str, float]:
        """The budget's constraints of the architecture."""
        return {} if self._budget is None else violations(self._budget, self.space.from_params(params))

    def admits(self, trial: FrozenTrial) -> bool:
        """Whether the trial is an architecture, inside the budget."""
        return self._admission(trial)

    def propose(self, census: Census) -> Proposal | None:
        """The next of the `first` architectures, or a proposal of the study's sampler."""
        taken = census.taken
        sampler = self._study.sampler
        found = next((one for one in self._first if one.key not in taken), None)
        if found is None:
            try:
                found = propose(sampler, self._study, self.space, seen=taken, budget=self._budget, mirror=self._mirror)
            except BudgetError:
                if not census.done and not census.running:
                    raise
                # A condition that few architectures meet: those that were scored are all that was found.
                _logger.info("No further architecture inside the budget was found; %d are scored", census.done)
                return None
        elif not isinstance(sampler, Proposer):
            # For its notes alone: NSGA-II counts it to the first generation, so that it may be a parent.
            self._mirror.update()
            self._mirror.ask(sampler, self.distributions)
        if found is None:
            return None
        return Proposal(found.params, {} if isinstance(sampler, Proposer) else self._mirror.notes)


class _Search(ArchitectureSource, Task):
    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        evaluate: Evaluate,
        first: Sequence[Architecture],
        budget: Budget | None,
        *,
        seed: int,
        costs: Sequence[str],
    ) -> None:
        super().__init__(study, space, first, budget, seed=seed)
        self._evaluate = evaluate
        self._costs = costs

    def run(self, trial: FrozenTrial) -> TrialOutcome:
        architecture = self.space.from_params(trial.params)
        try:
            score = self._evaluate(architecture)
        except optuna.TrialPruned as error:
            self.refuse_unscored(fewest=_FEWEST_UNSCORED, share=0.0)
            reason = f"the architecture {architecture.key} is pruned: {error}"
            return TrialOutcome(state=TrialState.PRUNED, value=None, reason=reason, attrs={PRUNED: True})
        score = Score(float(score)) if isinstance(score, float | int | np.number) else score
        if not math.isfinite(score.log_loss):
            self.refuse_unscored(fewest=_FEWEST_UNSCORED, share=_LEAST_SCORED)
            reason = unscored_reason(architecture, score.log_loss)
            _logger.warning("left out: %s", reason)
            return TrialOutcome(state=TrialState.PRUNED, value=None, reason=reason)
        return TrialOutcome(
            value=score.log_loss,
            # Written with the trial, before it ran.
            further=[float(trial.user_attrs[f"{PREFIX}{name}"]) for name in self._costs],
            attrs=score_attrs(score),
        )

    def refuse_unscored(self, *, fewest: int, share: float) -> None:
        """Raise StudyError where at least `fewest` architectures have no finite score, and at most `share` has one.

        Those that their evaluation has pruned count where none has a score.
        """
        trials = self._study.get_trials(deepcopy=False, states=ENDED)
        scored = sum(trial.state == TrialState.COMPLETE for trial in trials)
        unscored = [trial for trial in trials if trial.state == TrialState.PRUNED and REASON in trial.user_attrs]
        if scored:
            unscored = [trial for trial in unscored if PREFIX + PRUNED not in trial.user_attrs]
        total = scored + len(unscored)
        if len(unscored) >= fewest and scored <= share * total:
            raise StudyError(
                f"{len(unscored)} of {total} architectures of the study {self._study.study_name!r} have no score (the "
                f"last: {unscored[-1].user_attrs[REASON]}); where scores are NaN or infinite, {UNSCORED_ADVICE}"
            )


UNSCORED_ADVICE = (
    "train the supernet again with a lower learning rate, or with layer_norm where that is off; a job does so in "
    "another run_folder"
)


def unscored_reason(architecture: Architecture, log_loss: float) -> str:
    """The reason that is written to the trial of an architecture without a finite score."""
    return f"the score of the architecture {architecture.key} is {log_loss}: expected a finite number"


def _check_objectives(study: optuna.Study, objectives: Sequence[str], budget: Budget | None) -> None:
    known = (LOG_LOSS, *(() if budget is None else budget.names))
    if objectives[0] != LOG_LOSS or len({*objectives}) < len(objectives) or not {*objectives} <= {*known}:
        raise StudyError(
            f"objectives must be {LOG_LOSS}, then costs of the budget (of {', '.join(known[1:]) or 'none'}), but they "
            f"are {', '.join(objectives)}"
        )
    if len(study.directions) != len(objectives):
        raise StudyError(
            f"the study {study.study_name!r} has {len(study.directions)} objectives, but the search has "
            f"{len(objectives)} ({', '.join(objectives)}): open it with the same ones"
        )
    for name, direction in zip(objectives, study.directions, strict=True):
        if direction is not StudyDirection.MINIMIZE:
            raise StudyError(
                f"the study {study.study_name!r} has the direction {direction.name.lower()} for {name}, but every "
                'objective of a search is minimised: make a study with direction="minimize"'
            )


def score_attrs(score: Score) -> dict[str, Any]:
    """The attributes of a trial that its score has beside the log loss; unknown ones are left out."""
    attrs = {
        "auc": score.auc,
        "standard_error": score.standard_error,
        "rows": score.rows,
        "stopped": score.stopped,
    }
    return {name: value for name, value in attrs.items() if value is not None}
