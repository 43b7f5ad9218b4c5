from __future__ import annotations

import numpy as np
import optuna
import pytest

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.search import distributions
from nasrec_automl.search.admission import Admission, everything, violations
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import tiny_schema


def trial_of(space: SearchSpace, seed: int, **attrs: float) -> optuna.trial.FrozenTrial:
    return optuna.create_trial(
        params=space.random(np.random.default_rng(seed)).params,
        distributions=distributions(space),
        value=1.0,
        user_attrs={f"nasrec:{name}": value for name, value in attrs.items()},
    )


def test_what_is_written_of_a_trial_decides(space: SearchSpace) -> None:
    admits = Admission(space, Budget(tiny_schema(), macs=100, parameters=5))
    assert admits(trial_of(space, 0, macs=100, parameters=5))
    assert not admits(trial_of(space, 0, macs=101, parameters=5))
    assert not admits(trial_of(space, 0, macs=100, parameters=6))


def test_a_latency_that_was_written_may_be_of_another_batch_or_device(space: SearchSpace) -> None:
    asked: list[str] = []

    def latency(architecture: Architecture) -> float:
        asked.append(architecture.key)
        return 9.0

    trial = trial_of(space, 0, macs=100, latency_ms=4)
    for limit, inside in ((10, True), (5, False)):
        admits = Admission(space, Budget(tiny_schema(), latency_ms=limit, latency=latency))
        assert [admits(trial), admits(trial)] == [inside, inside]
    assert len(asked) == 2, "once a budget"


def test_what_is_not_written_is_found_from_the_parameters(space: SearchSpace) -> None:
    costs = Budget(tiny_schema()).counted(space.random(np.random.default_rng(0)))
    assert Admission(space, Budget(tiny_schema(), macs=costs["macs"]))(trial_of(space, 0))
    assert not Admission(space, Budget(tiny_schema(), macs=costs["macs"] - 1))(trial_of(space, 0))


@pytest.mark.parametrize("limits", [None, {}, {"macs": 10**9}])
def test_what_is_no_architecture_is_not_inside(space: SearchSpace, limits: dict[str, int] | None) -> None:
    admits = Admission(space, None if limits is None else Budget(tiny_schema(), macs=limits.get("macs")))
    assert admits(trial_of(space, 0))
    foreign = optuna.create_trial(value=1.0, user_attrs={"nasrec:macs": 1})
    assert not admits(foreign)
    assert everything(foreign)


def test_a_condition_is_asked_of_every_trial(space: SearchSpace) -> None:
    refuses = Budget(tiny_schema(), macs=10**9, accepts=lambda architecture: False)
    assert not Admission(space, refuses)(trial_of(space, 0, macs=1))


def test_constraints_are_shares_of_the_limits(space: SearchSpace) -> None:
    budget = Budget(tiny_schema(), macs=100, latency_ms=5, latency=lambda architecture: 9)
    architecture = space.random(np.random.default_rng(0))
    costs = budget.costs(architecture)
    assert violations(budget, architecture) == pytest.approx({"macs": costs["macs"] / 100 - 1, "latency_ms": 9 / 5 - 1})
    assert violations(Budget(tiny_schema()), architecture) == {}
