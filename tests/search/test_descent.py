"""The way into a budget that random architectures miss."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.cost import profile
from nasrec_automl.errors import BudgetError
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.search import RegularizedEvolutionSampler, search
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import load_search_space
from tests.search.search_worker import score

CRITEO = FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26)
TABLES = 26 * 1000 * 16


@pytest.mark.parametrize("limits", [{"macs": 12_000}, {"parameters": TABLES + 4_000}])
def test_a_budget_that_no_random_architecture_meets_is_reached_by_mutations(limits: dict[str, int]) -> None:
    space, budget = load_search_space("nasrec-full"), Budget(CRITEO, **limits)
    rng = np.random.default_rng(0)
    assert not any(budget.admits(space.random(rng, inputs="uniform")) for _ in range(1_000))
    seen: set[str] = set()
    for _ in range(8):
        found = unseen(space, rng, seen=seen, budget=budget)
        assert found is not None
        assert budget.admits(found)
        assert found.key not in seen
        seen.add(found.key)


def test_latency_is_reached_by_fewer_macs_and_few_measurements() -> None:
    space = load_search_space("nasrec-full")
    measured = []

    def latency(architecture: Architecture) -> float:
        measured.append(architecture.key)
        return profile(architecture, CRITEO).macs / 1e5

    budget = Budget(CRITEO, latency_ms=0.8, latency=latency)
    found = unseen(space, np.random.default_rng(0), seen=(), budget=budget)
    assert found is not None
    assert profile(found, CRITEO).macs <= 80_000
    assert 50 < len(measured) < 120


def test_a_condition_for_large_architectures_is_met_by_chance() -> None:
    space, schema = load_search_space("nasrec-full"), CRITEO
    costs = sorted(profile(space.random(np.random.default_rng(i), inputs="uniform"), schema).macs for i in range(1_000))
    budget = Budget(schema, accepts=lambda architecture: profile(architecture, schema).macs >= costs[980])
    for seed in range(8):
        found = unseen(space, np.random.default_rng(seed), seen=(), budget=budget)
        assert found is not None
        assert budget.admits(found)


def test_all_that_a_condition_accepts_may_be_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_search_space("nasrec-full")
    few = [space.random(np.random.default_rng(seed)) for seed in range(3)]
    monkeypatch.setattr(type(space), "random", lambda _, rng, **__: few[rng.integers(3)])
    budget = Budget(CRITEO, accepts=lambda architecture: architecture == few[0])
    for seed in range(3):  # the walk down begins at any of them
        assert unseen(space, np.random.default_rng(seed), seen={few[0].key}, budget=budget) is None


def test_a_search_ends_with_all_that_a_condition_accepts(study: optuna.Study, storage: RDBStorage) -> None:
    space = load_search_space("nasrec-full")
    first = [space.random(np.random.default_rng(seed)) for seed in range(2)]
    budget, options = Budget(CRITEO, accepts=lambda one: one in first), {"storage": storage, "target": 10}
    sampler = RegularizedEvolutionSampler(space=space, budget=budget)
    assert search(study, space, score, sampler=sampler, first=first, budget=budget, **options) == 2
    nothing = Budget(CRITEO, accepts=lambda one: False)
    sampler = RegularizedEvolutionSampler(space=space, budget=nothing)
    with pytest.raises(BudgetError, match="that the filter accepts: loosen the filter"):
        search(study, space, score, sampler=sampler, budget=nothing, **options)


def test_the_first_draw_that_a_condition_accepts_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    space, draws = load_search_space("nasrec-full"), iter(range(1_000_000))
    one, other = (space.random(np.random.default_rng(seed)) for seed in range(2))
    monkeypatch.setattr(type(space), "random", lambda *_, **__: other if next(draws) == 700 else one)
    budget = Budget(CRITEO, accepts=lambda architecture: architecture == other)
    assert unseen(space, np.random.default_rng(0), seen=(), budget=budget) == other


@pytest.mark.parametrize("macs", [None, 50_000])
def test_a_condition_that_nothing_meets_is_an_error(macs: int | None) -> None:
    space, budget = load_search_space("nasrec-full"), Budget(CRITEO, macs=macs, accepts=lambda architecture: False)
    inside = r"inside the budget \(at most 50,000 multiply-adds\) " if macs else ""
    with pytest.raises(
        BudgetError, match=rf"'nasrec-full' was found {inside}that the filter accepts: loosen the filter"
    ):
        unseen(space, np.random.default_rng(0), seen=(), budget=budget)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"macs": 1_000}, r"\(at most 1,000 multiply-adds\); the smallest found has [\d,]+ multiply-adds: raise"),
        ({"parameters": TABLES}, r"the smallest found has 4\d\d,\d+ parameters \(416,000 of the parameters are"),
    ],
)
def test_a_budget_that_cannot_be_met_is_an_error(limits: dict[str, int], message: str) -> None:
    space, budget = load_search_space("nasrec-full"), Budget(CRITEO, **limits)
    with pytest.raises(BudgetError, match=message):
        unseen(space, np.random.default_rng(0), seen=(), budget=budget)
    with pytest.raises(BudgetError, match=message):
        RegularizedEvolutionSampler(space=space, budget=budget).propose(optuna.create_study(), seen=())
    slow = Budget(CRITEO, latency_ms=1, latency=lambda architecture: 2.0)
    with pytest.raises(BudgetError, match=r"the smallest found has 2 ms: raise"):
        unseen(space, np.random.default_rng(0), seen=(), budget=slow)
