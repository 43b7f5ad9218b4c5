"""What follows from a report's values: best so far, Pareto front, ties with the best, agreement."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np

from nasrec_automl.data.parts import Part
from nasrec_automl.pareto import domination_ranks, front_order
from nasrec_automl.ranking import kendall_tau
from nasrec_automl.report.content import JudgedArchitecture, ReportContent, ResultRow, RetrainTrial, ScoredArchitecture
from nasrec_automl.report.style import COSTS

_FEWEST = 5
"""Architectures whose order is worth a statement."""
_SOMETHING = 0.01
"""Share of the entropy below which what a network knows may be chance."""


def by_number(search: Sequence[ScoredArchitecture]) -> list[ScoredArchitecture]:
    """Scored architectures by trial number; those without a finite score are left out."""
    return sorted((s for s in search if math.isfinite(s.log_loss)), key=lambda scored: scored.number)


def best_so_far(values: Sequence[float]) -> list[float]:
    """Running minimum.

    Example:
        >>> best_so_far([3.0, 1.0, 2.0])
        [3.0, 1.0, 1.0]
    """
    return list(itertools.accumulate(values, min))


def cost(scored: ScoredArchitecture, name: str) -> float | None:
    """A cost of an architecture: `macs`, `parameters` or `latency_ms`; None where it is not known."""
    found: float | None = getattr(scored, name)
    return found


def cost_text(scored: ScoredArchitecture, name: str) -> str:
    """The same as tables show it; empty where it is not known."""
    found = cost(scored, name)
    return "" if found is None else f"{found:.3g}" if isinstance(found, float) else f"{found:,}"


def error_text(scored: ScoredArchitecture | JudgedArchitecture) -> str:
    """The standard error as it follows a score; empty where it is not known."""
    return "" if scored.standard_error is None else f" ± {scored.standard_error:.5f}"


def pareto_front(search: Sequence[ScoredArchitecture], costs: Sequence[str]) -> list[ScoredArchitecture]:
    """Architectures that no other one beats in log loss and all costs, the lowest log loss first; of equals the first.

    Args:
        search: scored architectures; those of which a cost is not known are left out.
        costs: names of the costs.
    """
    points: dict[tuple[float, ...], ScoredArchitecture] = {}
    for scored in by_number(search):
        known = [value for name in costs if (value := cost(scored, name)) is not None]
        if len(known) == len(costs):
            points.setdefault((scored.log_loss, *known), scored)
    ranks = domination_ranks([*points])
    return [points[values] for values, rank in sorted(zip(points, ranks, strict=True)) if rank == 0]


def by_score(search: Sequence[ScoredArchitecture]) -> list[ScoredArchitecture]:
    """By log loss, the best first; equals by number."""
    return sorted(by_number(search), key=lambda scored: (scored.log_loss, scored.number))


def best_first(search: Sequence[ScoredArchitecture], costs: Sequence[str]) -> list[ScoredArchitecture]:
    """As the search hands on: the Pareto front of log loss and costs, then that of the rest, and so on.

    Each front is in the order of its log losses. Architectures of which a cost is not known come last.
    """
    points, known, unknown = [], [], []
    for scored in by_score(search):
        values = [value for name in costs if (value := cost(scored, name)) is not None]
        if len(values) == len(costs):
            points.append((scored.log_loss, *values))
            known.append(scored)
        else:
            unknown.append(scored)
    return [*(known[i] for i in front_order(points)), *unknown]


def known_costs(search: Sequence[ScoredArchitecture]) -> list[str]:
    """Names of the costs that are known of an architecture at least: latency is where it was measured."""
    return [name for name in COSTS if any(cost(scored, name) is not None for scored in search)]


def best_scored(search: Sequence[ScoredArchitecture]) -> ScoredArchitecture | None:
    """The first of `by_score`."""
    return next(iter(by_score(search)), None)


def within_one_error(search: Sequence[ScoredArchitecture]) -> list[ScoredArchitecture]:
    """Architectures that score at most one standard error (the best's) above the best, and the best.

    Estimates are not among them, where the best is none. Of a best one without a standard error: what scores no worse.
    """
    best = best_scored(search)
    if best is None:
        return []
    limit = best.log_loss + (best.standard_error or 0.0)
    return [scored for scored in by_number(search) if (best.stopped or not scored.stopped) and scored.log_loss <= limit]


def learned_share(content: ReportContent) -> float | None:
    """What the supernet knows at its best, as a share of what the check's trainings from scratch know (their median).

    Either is what it takes off the entropy of the rows that it is measured on. None where that is not known, and where
    the trainings know next to nothing.
    """
    trained = [loss for loss in content.verdict.log_losses if loss is not None] if content.verdict else []
    if not content.entropies or not trained or not content.supernet:
        return None
    entropy = content.entropies[Part.HPO]
    known = entropy - statistics.median(trained)
    learned = content.entropies[Part.SEARCH] - min(point.log_loss for point in content.supernet)
    return learned / known if known > _SOMETHING * entropy else None


def winner_row(results: Sequence[ResultRow]) -> ResultRow | None:
    """The winner's line of the result table."""
    return next((row for row in results if row.wins), None)


def best_baseline(results: Sequence[ResultRow]) -> ResultRow | None:
    """The baseline with the highest test AUC; those without one do not count."""
    baselines = [row for row in results if row.kind == "baseline" and row.test_auc is not None]
    return max(baselines, key=lambda row: row.test_auc or 0.0, default=None)


def retrained_best(retrain: Sequence[RetrainTrial]) -> dict[str, float]:
    """Lowest log loss of each retrained architecture, over its completed trials."""
    best: dict[str, float] = {}
    for trial in retrain:
        if trial.is_complete and trial.log_loss is not None and math.isfinite(trial.log_loss):
            best[trial.architecture] = min(trial.log_loss, best.get(trial.architecture, math.inf))
    return best


def in_both(search: Sequence[ScoredArchitecture], retrain: Sequence[RetrainTrial]) -> list[ScoredArchitecture]:
    """Scored architectures that were trained from scratch too."""
    retrained = retrained_best(retrain)
    return [scored for scored in by_number(search) if scored.name in retrained]


def compared(search: Sequence[ScoredArchitecture], retrain: Sequence[RetrainTrial]) -> list[ScoredArchitecture]:
    """Those of `in_both`, where their two orders say something: not of a few, or of the hand designs alone."""
    both = in_both(search, retrain)
    return both if len(both) >= _FEWEST and not all(scored.hand for scored in both) else []


def agreement_in_words(search: Sequence[ScoredArchitecture], retrain: Sequence[RetrainTrial]) -> str:
    """Kendall's tau of scores and log losses from scratch: 1 for the same order, -1 for the reverse.

    Empty where there is none, or it says nothing.
    """
    both, retrained = compared(search, retrain), retrained_best(retrain)
    tau = kendall_tau(
        np.array([scored.log_loss for scored in both]), np.array([retrained[scored.name] for scored in both])
    )
    if math.isnan(tau):
        return ""
    return f"Kendall's τ = {tau:.2f} over {len(both):,} of {len(retrained):,} architectures"
