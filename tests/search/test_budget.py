"""Everything that is proposed under a budget is inside, and a budget that does not bind changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.cost import profile
from nasrec_automl.errors import BudgetError, StudyError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.search import RegularizedEvolutionSampler, distributions, propose, search
from nasrec_automl.search.incumbents import incumbents
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import tiny_schema
from nasrec_automl.testing.strategies import search_spaces

CRITEO = FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26)
TABLES = 26 * 1000 * 16


def evolution(space: SearchSpace, budget: Budget | None, seed: int = 0) -> RegularizedEvolutionSampler:
    return RegularizedEvolutionSampler(
        space=space, budget=budget, population_size=6, tournament_size=3, children=3, generations=10, seed=seed
    )


def macs_of(architecture: Architecture, schema: FeatureSchema) -> int:
    return profile(architecture, schema).macs


def proposals(
    space: SearchSpace, sampler: BaseSampler, budget: Budget | None, count: int, schema: FeatureSchema
) -> list[Architecture]:
    """So many proposals, each scored by its cost, so that evolution pulls towards the budget's edge."""
    study, seen, found = optuna.create_study(), set(), []
    for _ in range(count):
        architecture = propose(sampler, study, space, seen=seen, budget=budget)
        if architecture is None:
            break
        seen.add(architecture.key)
        found.append(architecture)
        study.add_trial(
            optuna.create_trial(
                params=architecture.params,
                distributions=distributions(space),
                value=-float(macs_of(architecture, schema)),
            )
        )
    return found


SAMPLERS: list[Callable[[SearchSpace, Budget | None, int], BaseSampler]] = [
    evolution,
    lambda space, budget, seed: RandomSampler(seed=seed),
    lambda space, budget, seed: TPESampler(seed=seed, n_startup_trials=4, constant_liar=False),
]


@given(st.data())
@settings(max_examples=20)
def test_everything_proposed_is_inside(data: st.DataObject) -> None:
    space = data.draw(search_spaces(max_blocks=3))
    seed = data.draw(st.integers(0, 100))
    rng = np.random.default_rng(seed)
    costs = sorted(macs_of(space.random(rng, inputs="uniform"), tiny_schema()) for _ in range(30))
    limit = costs[data.draw(st.integers(0, 29))]
    budget = Budget(tiny_schema(), macs=limit)
    sampler = data.draw(st.sampled_from(SAMPLERS))(space, budget, seed)
    found = proposals(space, sampler, budget, 10, tiny_schema())
    assert found  # the architecture whose cost the limit is, is inside
    assert all(macs_of(architecture, tiny_schema()) <= limit for architecture in found)
    assert len({architecture.key for architecture in found}) == len(found)


@given(search_spaces(max_blocks=3), st.integers(0, 100), st.sampled_from(SAMPLERS))
@settings(max_examples=15)
def test_a_loose_budget_changes_no_proposal(
    space: SearchSpace, seed: int, sampler: Callable[[SearchSpace, Budget | None, int], BaseSampler]
) -> None:
    loose = Budget(tiny_schema(), macs=10**12, parameters=10**12, latency_ms=9, latency=lambda architecture: 1.0)
    with_budget, without = (
        proposals(space, sampler(space, budget, seed), budget, 10, tiny_schema()) for budget in (loose, None)
    )
    assert with_budget == without


def test_the_error_names_the_smallest_of_a_small_space(tiny: SearchSpace) -> None:
    smallest = min(macs_of(tiny.random(np.random.default_rng(seed)), tiny_schema()) for seed in range(400))
    with pytest.raises(BudgetError, match=f"smallest found has {smallest:,} multiply-adds"):
        unseen(tiny, np.random.default_rng(0), seen=(), budget=Budget(tiny_schema(), macs=smallest - 1))
    budget = Budget(tiny_schema(), macs=smallest)
    found = unseen(tiny, np.random.default_rng(0), seen=(), budget=budget)
    assert found is not None
    assert macs_of(found, tiny_schema()) == smallest


def test_when_all_that_is_inside_is_seen_there_is_nothing_more(tiny: SearchSpace) -> None:
    costs = {}
    for seed in range(400):
        architecture = tiny.random(np.random.default_rng(seed))
        costs[architecture.key] = macs_of(architecture, tiny_schema())
    limit = sorted(costs.values())[5]
    inside = {key for key, macs in costs.items() if macs <= limit}
    for budget in (
        Budget(tiny_schema(), macs=limit),
        Budget(tiny_schema(), macs=limit, latency_ms=9, latency=lambda architecture: 1.0),
    ):
        found = proposals(tiny, evolution(tiny, budget), budget, 16, tiny_schema())
        assert {architecture.key for architecture in found} == inside
        assert unseen(tiny, np.random.default_rng(0), seen=inside, budget=budget) is None


def test_ask_keeps_to_the_budget_too(space: SearchSpace) -> None:
    budget = Budget(tiny_schema(), macs=5_000)
    study = optuna.create_study(sampler=evolution(space, budget))
    for _ in range(14):
        trial = study.ask(dict(distributions(space)))
        assert budget.admits(space.from_params(trial.params))
        study.tell(trial, -float(macs_of(space.from_params(trial.params), tiny_schema())))


def test_a_trial_over_the_budget_is_no_parent(space: SearchSpace) -> None:
    budget = Budget(tiny_schema(), macs=6_000)
    study = optuna.create_study()
    rng = np.random.default_rng(0)
    drawn = [space.random(rng) for _ in range(200)]
    inside = [a for a in drawn if budget.admits(a)][:6]
    over = [a for a in drawn if not budget.admits(a)][:30]
    for value, architecture in enumerate([*inside, *over]):
        study.add_trial(
            optuna.create_trial(params=architecture.params, distributions=distributions(space), value=-float(value))
        )
    only_inside = optuna.create_study()
    only_inside.add_trials(study.get_trials()[:6])
    sampler = evolution(space, budget)
    # All that are over are better; the parent is that of the study that does not have them.
    parent, _ = sampler._parent(history(study, sampler), space.labels.keys())
    expected, _ = sampler._parent(history(only_inside, sampler), space.labels.keys())
    assert parent is not None
    assert expected is not None
    assert parent.params == expected.params


def history(study: optuna.Study, sampler: RegularizedEvolutionSampler) -> object:
    from nasrec_automl.search.history import History

    return History.of(study, sampler._evolution, admits=sampler._admits)


def test_sampler_and_search_have_one_budget(space: SearchSpace) -> None:
    with pytest.raises(StudyError, match="give both the same budget"):
        propose(evolution(space, None), optuna.create_study(), space, seen=(), budget=Budget(tiny_schema(), macs=1))
    with pytest.raises(StudyError, match="pass space"):
        RegularizedEvolutionSampler(budget=Budget(tiny_schema(), macs=1))


# The worker.


def score(architecture: Architecture) -> SimpleNamespace:
    loss = 1e6 / macs_of(architecture, tiny_schema())
    return SimpleNamespace(log_loss=loss, auc=0.5, standard_error=0.1, rows=10, stopped=False)


def run(study: optuna.Study, storage: RDBStorage, space: SearchSpace, budget: Budget, target: int) -> int:
    return search(
        study,
        space,
        score,
        storage=storage,
        sampler=evolution(space, budget),
        target=target,
        first=list(hand_designs(space).values()),
        budget=budget,
    )


def done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def test_a_search_stays_inside_and_says_what_it_left_out(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, caplog: pytest.LogCaptureFixture
) -> None:
    designs = hand_designs(space)
    macs = {name: macs_of(design, tiny_schema()) for name, design in designs.items()}
    largest = max(macs, key=lambda name: macs[name])
    budget = Budget(tiny_schema(), macs=macs[largest] - 1, latency_ms=3, latency=lambda architecture: 2.5)
    with caplog.at_level(logging.WARNING):
        assert run(study, storage, space, budget, 20) == 20
    assert designs[largest].key in caplog.text
    assert "over the budget (at most" in caplog.text
    for trial in done(study):
        cost = profile(space.from_params(trial.params), tiny_schema())
        assert trial.user_attrs["nasrec:macs"] == cost.macs < macs[largest]
        assert trial.user_attrs["nasrec:parameters"] == cost.parameters
        assert trial.user_attrs["nasrec:latency_ms"] == 2.5
        assert trial.constraints == pytest.approx(
            {"macs": cost.macs / (macs[largest] - 1) - 1, "latency_ms": 2.5 / 3 - 1}
        )
    inside = [design.key for design in designs.values() if budget.admits(design)]
    assert [trial.user_attrs["nasrec:key"] for trial in done(study)][: len(inside)] == inside


def test_a_tighter_budget_goes_on_without_what_is_over(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    loose, tight = Budget(tiny_schema(), macs=10**9), Budget(tiny_schema(), macs=5_000)
    run(study, storage, space, loose, 20)
    kept = sum(trial.user_attrs["nasrec:macs"] <= 5_000 for trial in done(study))
    assert 0 < kept < 20
    assert run(study, storage, space, tight, 20) == 20 - kept
    trials = done(study)
    assert sum(trial.user_attrs["nasrec:macs"] <= 5_000 for trial in trials) == 20
    assert all(trial.user_attrs["nasrec:macs"] <= 5_000 for trial in trials[20:])
    assert len({trial.user_attrs["nasrec:key"] for trial in trials}) == len(trials) == 40 - kept
    assert run(study, storage, space, loose, 40 - kept) == 0  # the old ones count again


def test_the_bar_for_early_stops_is_one_inside(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> None:
    from nasrec_automl.search.admission import Admission

    run(study, storage, space, Budget(tiny_schema(), macs=10**9), 12)
    tight = Budget(tiny_schema(), macs=5_000)
    found = incumbents(study, space, 12, admits=Admission(space, tight))
    assert 0 < len(found) < 12
    assert all(tight.admits(architecture) for architecture in found)


def test_a_lost_trial_over_the_budget_is_not_tried_again(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    rng = np.random.default_rng(0)
    tight = Budget(tiny_schema(), macs=5_000)
    large = next(a for a in (space.random(rng) for _ in range(100)) if not tight.admits(a))
    study.add_trial(
        optuna.create_trial(
            state=TrialState.FAIL,
            params=large.params,
            distributions=distributions(space),
            user_attrs={"nasrec:key": large.key, "nasrec:failure": "stale"},
        )
    )
    run(study, storage, space, tight, 4)
    assert large.key not in {trial.user_attrs["nasrec:key"] for trial in done(study)}
    run(study, storage, space, Budget(tiny_schema()), 6)
    assert large.key in {trial.user_attrs["nasrec:key"] for trial in done(study)}


def test_constraints_of_an_earlier_budget_do_not_say_who_is_a_parent(space: SearchSpace) -> None:
    study = optuna.create_study()
    rng = np.random.default_rng(0)
    own = [space.random(rng) for _ in range(4)]
    for value, architecture in enumerate(own):  # the best was over the budget when it was scored
        over = {"macs": 1.0 if value == 0 else -0.5}
        attrs = {"nasrec:key": architecture.key, "nasrec:macs": macs_of(architecture, tiny_schema())}
        study.add_trial(
            optuna.create_trial(
                value=float(value),
                params=dict(architecture.params),
                distributions=dict(distributions(space)),
                user_attrs=attrs,
                constraints=over,
            )
        )
    budget = Budget(tiny_schema(), macs=max(macs_of(one, tiny_schema()) for one in own))
    made = RegularizedEvolutionSampler(space=space, budget=budget, population_size=4, tournament_size=4, children=2)
    parent = made._history(study).parent(())
    assert parent is not None
    assert parent.value == 0.0


def test_an_enqueued_trial_has_constraints_too(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    tight = Budget(tiny_schema(), macs=5_000)
    large = next(a for a in (space.random(rng) for _ in range(100)) if not tight.admits(a))
    study.enqueue_trial(dict(large.params))
    run(study, storage, space, tight, 2)
    first, *others = study.get_trials()
    assert first.state == TrialState.COMPLETE
    assert first.constraints["macs"] == pytest.approx(macs_of(large, tiny_schema()) / 5_000 - 1)
    assert [trial.constraints["macs"] <= 0 for trial in others] == [True, True], "one over the budget does not count"
