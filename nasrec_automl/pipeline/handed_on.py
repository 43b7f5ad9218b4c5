"""What a search hands on: its best scores, or what the check's trainings say is best."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from nasrec_automl.architecture import Architecture
from nasrec_automl.evaluation.predictor import predict_log_losses
from nasrec_automl.pareto import front_order
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import checked_best
from nasrec_automl.pipeline.outcomes import read_verdict
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.randomness import rng_for
from nasrec_automl.report.content import Origin
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Trust, Verdict

_DRAWN = 4096
"""Random architectures."""

_DIGITS = 9
"""Digits that a prediction is rounded to: architectures with the same operators have equal ones, and the noise of
adding up must not put them in order."""


def handed_on(run: RunFolder, scored: Sequence[Architecture], count: int) -> list[tuple[Architecture, Origin]]:
    """The architectures that are to be trained from scratch, the best first, and who chose each.

    Args:
        run: whose search has ended; it goes by its scores as far as it trusts them (`Trust`).
        scored: by the search, inside the budget, the best score first.
        count: how many at most.
    """
    verdict = read_verdict(run)
    if verdict is None or verdict.trust is Trust.FULL:
        return [(one, "search") for one in scored[:count]]
    by_score = scored if verdict.trust is Trust.HALF else []
    predicted = best_predicted(run, verdict, scored, count)
    found: dict[str, tuple[Architecture, Origin]] = {}
    for score, prediction in itertools.zip_longest(by_score, predicted):
        if score is not None:
            found.setdefault(score.key, (score, "search"))
        if prediction is not None:
            found.setdefault(prediction.key, (prediction, "predictor"))
    return list(found.values())[:count]


def best_predicted(run: RunFolder, verdict: Verdict, scored: Sequence[Architecture], count: int) -> list[Architecture]:
    """The architectures inside the budget whose log loss a performance predictor puts lowest, the best first.

    It is fitted to the trainings of the check. What it chooses from is what the search scored, and random
    architectures: a prediction costs next to nothing. There are no random ones where latency is limited, which would
    have to be measured, and where there are several objectives: then it is put in order as
    `search.incumbents.best_first` does, with predictions in place of scores. The check's best are left out: they are
    candidates by themselves.

    Args:
        run: whose scores were checked.
        verdict: of this check.
        scored: by the search, inside the budget, the best score first.
        count: how many at most.
    """
    job = run.job
    space, budget, objectives = load_search_space(job.space), job_budget(run), job.search.objectives
    rng = rng_for("architectures to predict", job.seed)
    drawn = 0 if len(objectives) > 1 or budget.is_slow else _DRAWN
    found = {one.key: one for one in (*scored, *(space.random(rng) for _ in range(drawn)))}
    best = {one.key for one in checked_best(run)}
    pool = [one for key, one in found.items() if key not in best]
    if not pool:
        return []
    trained = verdict.in_space(space)
    losses = [np.nan if loss is None else loss for loss in verdict.log_losses]
    predicted = np.round(predict_log_losses(trained, losses, pool), _DIGITS).tolist()
    costs = [budget.costs(one) if len(objectives) > 1 else {} for one in pool]
    points = [(loss, *(own[name] for name in objectives[1:])) for loss, own in zip(predicted, costs, strict=True)]
    return list(itertools.islice(filter(budget.admits, (pool[i] for i in front_order(points))), count))
