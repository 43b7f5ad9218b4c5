"""The way into a budget that random architectures miss: mutations that lower the cost."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import LATENCY, MACS, PARAMETERS, Budget, in_words
from nasrec_automl.errors import BudgetError
from nasrec_automl.space import SearchSpace

_STEPS = 4_000
"""Mutations that are tried; a space of 7 blocks is near its smallest after half of them."""

_DRAWS, _DRAWS_SLOWLY = 500, 50
"""Random architectures that are tried in the end: the walk leads to small ones, and a filter may accept large ones
alone. Fewer where each one's latency is measured."""

_SHRINK = 0.9
"""Where multiply-adds and parameters are inside the budget, but the latency or the filter is not satisfied, the walk
goes on to this share of the multiply-adds."""


def descend(
    space: SearchSpace, rng: np.random.Generator, *, seen: Collection[str], budget: Budget
) -> Architecture | None:
    """Walk from a random architecture into the budget, and on inside it until one is new.

    A step is one mutation. It is taken where the cost stays inside the budget, or at least does not grow. Where
    multiply-adds and parameters are inside, but the latency is not, the walk goes on to fewer multiply-adds.

    Args:
        space: the space.
        rng: source of randomness.
        seen: keys that the architecture must not have.
        budget: what it may cost.

    Returns:
        The architecture; None if all that were found inside the budget are among `seen`.

    Raises:
        BudgetError: none was found inside; the message says the smallest cost that was.
    """
    aim, known = math.inf, False
    current = smallest = space.random(rng, inputs="uniform")
    load = budget.fullness(current)
    for _ in range(_STEPS):
        step = space.mutate(current, rng)
        step_load = budget.fullness(step, macs=aim)
        if step_load > max(1.0, load):
            continue
        current, load = step, step_load
        if load > 1:
            smallest = current
        elif current.key in seen:
            known = True
        elif budget.admits(current):
            return current
        else:
            smallest, aim = current, _SHRINK * budget.counted(current)[MACS]
            load = budget.fullness(current, macs=aim)
    if known:
        return None
    for _ in range(_DRAWS_SLOWLY if LATENCY in budget.limits else _DRAWS):
        drawn = space.random(rng, inputs="uniform")
        if budget.admits(drawn):
            if drawn.key not in seen:
                return drawn
            known = True
    if known:
        return None
    raise nothing_inside(space, budget, smallest)


def nothing_inside(space: SearchSpace, budget: Budget, smallest: Architecture) -> BudgetError:
    """The error for a budget that no architecture keeps.

    Args:
        space: the space that was searched.
        budget: its budget.
        smallest: the architecture that came closest.
    """
    over = budget.excess(smallest)
    if budget.has_condition and not over:
        inside = f" inside the budget ({budget})" if budget.limits else ""
        return BudgetError(
            f"no architecture of the space {space.name!r} was found{inside} that the filter accepts: loosen the "
            "filter, or choose another space"
        )
    costs = {**budget.counted(smallest), **({LATENCY: budget.costs(smallest)[LATENCY]} if LATENCY in over else {})}
    found = ", ".join(in_words(name, costs[name]) for name in over or budget.counted(smallest))
    tables = budget.schema.table_rows * budget.schema.embedding_dim
    hint = f" ({tables:,} of the parameters are embedding tables)" if PARAMETERS in over else ""
    return BudgetError(
        f"no architecture of the space {space.name!r} was found inside the budget ({budget}); the smallest found has "
        f"{found}{hint}: raise the budget, or choose a smaller space"
    )
