"""The samplers that a job can name, in a search of several objectives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.config import SamplerName, SearchConfig
from nasrec_automl.errors import StudyError
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.search import open_study, search
from nasrec_automl.search.admission import violations_of
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.mirror import Mirror
from nasrec_automl.search.samplers import make_sampler
from nasrec_automl.space import SearchSpace

SCHEMA = FeatureSchema.from_sizes(dense=3, table_sizes=[10] * 4)
OBJECTIVES = ("log_loss", "macs")
GENERATION = "NSGAIISampler:generation"


class FakeScore:
    auc, standard_error, rows, stopped = 0.5, 0.01, 100, False

    def __init__(self, architecture: Architecture) -> None:
        self.log_loss = int(architecture.key[:8], 16) / 2**32


def searched(
    storage: RDBStorage,
    space: SearchSpace,
    sampler: SamplerName,
    *,
    name: str = "search",
    budget: Budget | None = None,
    objectives: Sequence[str] = OBJECTIVES,
    counts: Sequence[int | None] = (None,),
    first: Sequence[Architecture] = (),
    evaluate: Callable[[Architecture], FakeScore] = FakeScore,
) -> list[FrozenTrial]:
    """Trials of a search of 24 architectures, by as many workers, one after another, as there are counts."""
    budget = Budget(SCHEMA) if budget is None else budget
    config = SearchConfig.model_validate({"objectives": objectives, "sampler": sampler} | {"population": 6} | SIZES)
    for count in counts:
        study = open_study(storage, name=name, identity={}, objectives=objectives)
        search(
            study,
            space,
            evaluate,
            storage=storage,
            sampler=make_sampler(config, space, budget, seed=1),
            target=24,
            count=count,
            budget=budget,
            objectives=objectives,
            first=first,
        )
    return study.get_trials()


SIZES = {"architectures": 24, "tournament": 3, "children": 4}


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_values_are_the_score_and_what_is_written_of_the_cost(
    storage: RDBStorage, space: SearchSpace, sampler: SamplerName
) -> None:
    budget = Budget(SCHEMA, latency=lambda architecture: 1 + int(architecture.key[-1], 16))
    names = ("log_loss", "latency_ms", "parameters")
    trials = searched(storage, space, sampler, budget=budget, objectives=names)
    assert len(trials) == 24
    for trial in trials:
        architecture = space.from_params(trial.params)
        costs = budget.costs(architecture)
        assert trial.values == [FakeScore(architecture).log_loss, costs["latency_ms"], costs["parameters"]]
        assert {name: trial.user_attrs[f"nasrec:{name}"] for name in costs} == costs


@pytest.mark.parametrize("sampler", ["evolution", "nsga2", "tpe", "random"])
def test_any_number_of_workers_one_after_another_proposes_the_same(
    storage: RDBStorage, space: SearchSpace, sampler: SamplerName
) -> None:
    objectives = OBJECTIVES[:1] if sampler == "evolution" else OBJECTIVES
    whole = searched(storage, space, sampler, name="whole", objectives=objectives)
    parts = searched(storage, space, sampler, name="parts", objectives=objectives, counts=(5, 1, 9, None))
    assert [trial.params for trial in parts] == [trial.params for trial in whole]
    assert [trial.system_attrs for trial in parts] == [trial.system_attrs for trial in whole]


def test_tpe_draws_all_labels_together_although_a_user_gave_a_trial_few(
    storage: RDBStorage, space: SearchSpace
) -> None:
    searched(storage, space, "tpe", objectives=OBJECTIVES[:1], counts=(9,))
    config = SearchConfig.model_validate({"sampler": "tpe", "population": 6} | SIZES)
    sampler = make_sampler(config, space, Budget(SCHEMA), seed=1)
    study = optuna.load_study(study_name="search", storage=storage, sampler=sampler)
    name, distribution = next(iter(distributions(space).items()))
    few = {"params": {name: study.trials[0].params[name]}, "distributions": {name: distribution}}
    study.add_trial(optuna.create_trial(value=1.0, **few))
    assert study.ask().relative_params.keys() == distributions(space).keys()


def test_generations_are_full_and_what_is_given_is_in_the_first(storage: RDBStorage, space: SearchSpace) -> None:
    given = [space.random(np.random.default_rng(seed)) for seed in range(2)]
    trials = searched(storage, space, "nsga2", first=given, counts=(1, None))
    assert [trial.system_attrs for trial in trials] == [{GENERATION: g} for g in (0, 1, 2, 3) for _ in range(6)]
    assert [trial.params for trial in trials[:2]] == [architecture.params for architecture in given]


def test_a_trial_that_is_tried_again_keeps_its_generation(storage: RDBStorage, space: SearchSpace) -> None:
    whole = searched(storage, space, "nsga2", name="whole")
    searched(storage, space, "nsga2", counts=(9,))
    # As a worker leaves it that is killed while its tenth architecture is scored.
    study = optuna.load_study(study_name="search", storage=storage)
    tenth, user = whole[9], {"nasrec:worker": "localhost:1:0.0:x", "nasrec:failure": "stale"}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.FAIL,
            params=tenth.params,
            distributions=tenth.distributions,
            user_attrs={**tenth.user_attrs, **user},
            system_attrs=tenth.system_attrs,
        )
    )
    again = [trial for trial in searched(storage, space, "nsga2") if trial.state == TrialState.COMPLETE]
    assert again[9].system_attrs == {GENERATION: 1}
    assert [(t.params, t.values, t.system_attrs) for t in again] == [
        (t.params, t.values, t.system_attrs) for t in whole
    ]


def test_nothing_over_the_budget_is_proposed(storage: RDBStorage, space: SearchSpace) -> None:
    macs = sorted(trial.values[1] for trial in searched(storage, space, "random", name="free"))
    budget = Budget(SCHEMA, macs=int(macs[8]))
    for sampler in ("nsga2", "tpe", "random"):
        trials = searched(storage, space, sampler, name=sampler, budget=budget)
        assert max(trial.values[1] for trial in trials) <= macs[8]
        assert all(trial.constraints["macs"] <= 0 for trial in trials)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_after_a_change_of_the_budget_todays_constraints_hold(
    storage: RDBStorage, space: SearchSpace, sampler: SamplerName
) -> None:
    """Where trials over it stayed parents, most children would be over it too, and chance would take over."""

    def evaluate(architecture: Architecture) -> FakeScore:
        score = FakeScore(architecture)
        score.log_loss = 10**6 / Budget(SCHEMA).counted(architecture)["macs"]  # the larger the better
        return score

    trials = searched(storage, space, sampler, evaluate=evaluate)
    tight = Budget(SCHEMA, macs=int(np.median([trial.values[1] for trial in trials])))
    study = optuna.load_study(study_name="search", storage=storage)
    for budget in (tight, Budget(SCHEMA), tight):
        mirror = Mirror(study, violations_of(space, budget))
        mirror.update()
        seen: list[FrozenTrial] = []

        class Looking(optuna.samplers.RandomSampler):
            def before_trial(self, study: optuna.Study, trial: FrozenTrial, seen: list[FrozenTrial] = seen) -> None:
                seen.extend(study.get_trials(states=(TrialState.COMPLETE,)))

        mirror.ask(Looking(), distributions(space))
        assert [trial.params for trial in seen] == [trial.params for trial in trials]
        assert [trial.values for trial in seen] == [trial.values for trial in trials]
        over = [budget.limits != {} and trial.values[1] > tight.limits["macs"] for trial in trials]
        assert [any(value > 0 for value in trial.constraints.values()) for trial in seen] == over
    again = searched(storage, space, sampler, evaluate=evaluate, budget=tight)
    assert len(again) == 24 + sum(trial.values[1] > tight.limits["macs"] for trial in trials)


def test_a_search_of_many_generations_goes_on_in_another_process(space: SearchSpace) -> None:
    """Optuna looks for the parents of a generation among those of the one before, and so on, each in the next call."""
    config = SearchConfig(sampler="nsga2", objectives=OBJECTIVES, architectures=24, population=2, tournament=2)
    study, rng = optuna.create_study(directions=["minimize"] * 2), np.random.default_rng(0)
    study.add_trials(
        [
            optuna.create_trial(
                values=list(rng.random(2)),
                params=space.random(rng).params,
                distributions=distributions(space),
                system_attrs={GENERATION: number // 2},
            )
            for number in range(1200)
        ]
    )
    mirror, sampler = Mirror(study), make_sampler(config, space, Budget(SCHEMA), seed=1)
    mirror.update()
    for _ in range(2):
        assert space.from_params(mirror.ask(sampler, distributions(space)))
        assert mirror.notes == {GENERATION: 600}


def test_later_generations_are_better(storage: RDBStorage, space: SearchSpace) -> None:
    def evaluate(architecture: Architecture) -> FakeScore:
        score = FakeScore(architecture)
        score.log_loss = Budget(SCHEMA).counted(architecture)["macs"] / 10**6
        return score

    trials = searched(storage, space, "nsga2", evaluate=evaluate)
    first, last = ([trial.values[1] for trial in trials[start : start + 6]] for start in (0, 18))
    assert np.mean(last) < 0.6 * np.mean(first)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("macs", "log_loss"), "objectives must be log_loss, then costs of the budget"),
        (("log_loss", "latency_ms"), r"costs of the budget .of macs, parameters., but they are log_loss, latency_ms"),
        (("log_loss", "macs", "macs"), "objectives must be"),
        (("log_loss",), r"the study 'search' has 2 objectives, but the search has 1 .log_loss."),
    ],
)
def test_objectives_that_are_none_are_refused(
    storage: RDBStorage, space: SearchSpace, objectives: tuple[str, ...], message: str
) -> None:
    study = open_study(storage, name="search", identity={}, objectives=OBJECTIVES)
    sampler = optuna.samplers.RandomSampler()
    with pytest.raises(StudyError, match=message):
        search(
            study,
            space,
            FakeScore,
            storage=storage,
            sampler=sampler,
            target=3,
            budget=Budget(SCHEMA),
            objectives=objectives,
        )
    assert study.get_trials() == []


def test_attempts_at_one_trial_differ(space: SearchSpace) -> None:
    """A proposal that is known already, or over the budget, must not come back at once."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    mirror = Mirror(study)
    sampler = make_sampler(SearchConfig(objectives=OBJECTIVES), space, Budget(SCHEMA), seed=1)
    drawn = [mirror.ask(sampler, distributions(space)) for _ in range(6)]
    assert all(one != other for one, other in itertools.pairwise(drawn))
    study.add_trial(optuna.create_trial(values=[0.5, 1]))
    mirror.update()
    assert mirror.ask(sampler, distributions(space)) not in drawn


@pytest.mark.parametrize("sampler", ["evolution", "nsga2", "tpe", "random"])
def test_a_seed_may_be_as_large_as_a_jobs(space: SearchSpace, sampler: SamplerName) -> None:
    def first(seed: int) -> dict[str, object]:
        study = optuna.create_study()
        config = SearchConfig(sampler=sampler)
        return dict(Mirror(study).ask(make_sampler(config, space, Budget(SCHEMA), seed), distributions(space)))

    assert first(2**32 + 1) not in (first(1), first(2**40 + 1))
