from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.cost import profile
from nasrec_automl.errors import BudgetError
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_architecture
from nasrec_automl.testing.examples import tiny_schema
from nasrec_automl.testing.strategies import spaces_and_architectures

SCHEMA = FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26)
CRITEO = load_architecture("criteo-full")


@given(spaces_and_architectures(), st.floats(0.5, 1.5), st.floats(0.5, 1.5))
def test_it_admits_what_costs_no_more(architecture: Architecture, macs: float, parameters: float) -> None:
    cost = profile(architecture, tiny_schema())
    limits = {"macs": int(macs * cost.macs), "parameters": int(parameters * cost.parameters)}
    budget = Budget(tiny_schema(), **limits)
    inside = cost.macs <= limits["macs"] and cost.parameters <= limits["parameters"]
    assert budget.admits(architecture) is inside
    assert (budget.fullness(architecture) <= 1) is inside
    for name, excess in budget.excess(architecture).items():
        assert excess == getattr(cost, name) - limits[name] > 0


def test_the_limit_itself_is_inside() -> None:
    cost = profile(CRITEO, SCHEMA)
    assert Budget(SCHEMA, macs=cost.macs, parameters=cost.parameters).admits(CRITEO)
    assert Budget(SCHEMA, macs=cost.macs - 1).excess(CRITEO) == {"macs": 1}


def test_parameters_include_the_tables() -> None:
    tables = 26 * 1000 * 16
    assert not Budget(SCHEMA, parameters=tables).admits(CRITEO)
    dense = profile(CRITEO, SCHEMA).dense_parameters
    assert Budget(SCHEMA, parameters=tables + dense).admits(CRITEO)


def test_without_layer_norm_there_are_other_parameters() -> None:
    with_norm, without = (profile(CRITEO, SCHEMA, layer_norm=norm).parameters for norm in (True, False))
    assert without < with_norm
    assert Budget(SCHEMA, parameters=without, layer_norm=False).admits(CRITEO)
    assert not Budget(SCHEMA, parameters=without).admits(CRITEO)


def test_latency_is_measured_last_and_once_a_key() -> None:
    asked = []

    def latency(architecture: Architecture) -> float:
        asked.append(architecture.key)
        return 5.0

    assert not Budget(SCHEMA, macs=1, latency_ms=9, latency=latency).admits(CRITEO)
    assert asked == []
    budget = Budget(SCHEMA, latency_ms=4, latency=latency)
    assert [budget.excess(CRITEO) for _ in range(3)] == [{"latency_ms": 1.0}] * 3
    assert asked == [CRITEO.key]
    assert budget.costs(CRITEO)["latency_ms"] == 5.0
    assert Budget(SCHEMA, latency_ms=5, latency=latency).admits(CRITEO)


def test_a_condition_is_asked_of_what_is_inside_the_limits() -> None:
    assert not Budget(SCHEMA, accepts=lambda architecture: False).admits(CRITEO)
    assert Budget(SCHEMA, accepts=lambda architecture: True).admits(CRITEO)
    assert not Budget(SCHEMA, macs=1, accepts=lambda architecture: True).admits(CRITEO)


def test_without_a_limit_everything_is_inside() -> None:
    budget = Budget(SCHEMA)
    assert budget.admits(CRITEO)
    assert budget.fullness(CRITEO) == 0
    assert str(budget) == "no limit"
    assert "latency_ms" not in budget.costs(CRITEO)


def test_in_words() -> None:
    budget = Budget(SCHEMA, macs=1_000_000, parameters=2_000_000, latency_ms=2.5, latency=lambda architecture: 1.0)
    assert str(budget) == "at most 1,000,000 multiply-adds, 2,000,000 parameters, 2.5 ms"


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"macs": 0}, "macs"), ({"latency_ms": math.nan}, "latency_ms"), ({"latency_ms": 5.0}, "latency")],
)
def test_limits_are_checked(limits: dict[str, float], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        Budget(SCHEMA, **limits)
