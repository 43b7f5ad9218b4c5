from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError, StudyError
from nasrec_automl.search import (
    ArchitectureRandomSampler,
    RegularizedEvolutionSampler,
    Score,
    WorkerOptions,
    distributions,
    open_study,
    search,
)
from nasrec_automl.space import SearchSpace, load_search_space
from tests.search.search_worker import FakeScore, sampler, score, trials


class Scripted(RegularizedEvolutionSampler):
    """Proposes what it is told to, after something else has happened in the study."""

    def __init__(self, steps: list[Callable[[], Architecture | None]]) -> None:
        super().__init__()
        self._steps = iter(steps)

    def propose(self, study: optuna.Study, *, seen: Collection[str]) -> Architecture | None:
        return next(self._steps)()


def test_the_target_is_reached_and_kept(run: Callable[..., int], study: optuna.Study) -> None:
    assert run(target=12) == 12
    assert run(target=12) == 0
    assert run(target=15, count=2) == 2
    done = trials(study, TrialState.COMPLETE)
    assert len({trial.user_attrs["nasrec:key"] for trial in done}) == len(done) == 14


def test_what_a_trial_holds(run: Callable[..., int], study: optuna.Study, space: SearchSpace) -> None:
    run(target=1)
    (trial,) = study.get_trials()
    architecture = space.from_params(trial.params)
    assert trial.value == score(architecture).log_loss
    attrs = dict(trial.user_attrs)
    assert attrs.pop("nasrec:worker")
    assert attrs.pop("nasrec:alive")
    assert attrs == {
        "nasrec:key": architecture.key,
        "nasrec:auc": 0.5,
        "nasrec:standard_error": 0.01,
        "nasrec:rows": 100,
        "nasrec:stopped": False,
    }


def test_an_evaluator_may_give_the_log_loss_alone(run: Callable[..., int], study: optuna.Study) -> None:
    assert run(target=2, evaluate=lambda architecture: Score(log_loss=score(architecture).log_loss)) == 2
    for trial in study.get_trials():
        measured = {name for name in trial.user_attrs if name not in ("nasrec:key", "nasrec:worker", "nasrec:alive")}
        assert measured == {"nasrec:stopped"}


def test_an_evaluator_may_give_a_number_and_the_storage_may_be_a_url(
    url: str, study: optuna.Study, space: SearchSpace
) -> None:
    search(study, space, lambda one: score(one).log_loss, storage=url, sampler=sampler(space), target=2)
    assert [trial.value for trial in study.get_trials()] == [
        score(space.from_params(trial.params)).log_loss for trial in study.get_trials()
    ]


def test_what_an_evaluator_prunes_is_not_tried_again(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    seen: list[str] = []

    def evaluate(architecture: Architecture) -> float:
        seen.append(architecture.key)
        if len(seen) in (2, 3):
            raise optuna.TrialPruned("too slow")
        return score(architecture).log_loss

    assert run(target=4, evaluate=evaluate) == 4
    assert len({*seen}) == len(seen) == 6
    pruned = trials(study, TrialState.PRUNED)
    assert [trial.user_attrs["nasrec:reason"] for trial in pruned] == [
        f"the architecture {key} is pruned: too slow" for key in seen[1:3]
    ]


def test_an_evaluator_may_prune_most(run: Callable[..., int], study: optuna.Study) -> None:
    seen: list[str] = []

    def evaluate(architecture: Architecture) -> float:
        seen.append(architecture.key)
        if len(seen) == 20:
            return math.nan  # which says little, though few have a score
        if len(seen) % 12:
            raise optuna.TrialPruned("too large")
        return score(architecture).log_loss

    assert run(target=4, evaluate=evaluate) == 4
    assert len(trials(study, TrialState.PRUNED)) == 44


def test_an_evaluator_that_prunes_everything_ends_the_search(run: Callable[..., int], study: optuna.Study) -> None:
    def evaluate(architecture: Architecture) -> Score:
        raise optuna.TrialPruned("no rows")

    with pytest.raises(StudyError, match=r"16 of 16 architectures .* have no score \(the last: .* pruned: no rows\)"):
        run(evaluate=evaluate)


def test_the_hand_designs_come_first_and_once(run: Callable[..., int], study: optuna.Study, space: SearchSpace) -> None:
    hands = [space.random(np.random.default_rng(seed)) for seed in range(3)]
    run(target=2, first=hands)
    run(target=6, first=hands)
    keys = [trial.user_attrs["nasrec:key"] for trial in study.get_trials()]
    assert keys[:3] == [hand.key for hand in hands]
    assert len(set(keys)) == 6


def test_a_hand_design_of_another_space_is_refused(run: Callable[..., int], study: optuna.Study) -> None:
    other = load_search_space("nasrec-full").random(np.random.default_rng(0))
    with pytest.raises(ArchitectureError):
        run(first=[other])
    assert study.get_trials() == []


def test_trials_added_by_hand_count(run: Callable[..., int], study: optuna.Study, space: SearchSpace) -> None:
    mine = space.random(np.random.default_rng(0))
    study.add_trial(optuna.create_trial(params=mine.params, distributions=distributions(space), value=0.1))
    assert run(target=4, first=[mine]) == 3
    keys = [space.from_params(trial.params).key for trial in study.get_trials()]
    assert len(set(keys)) == 4


def test_a_trial_that_is_no_architecture_does_not_count(run: Callable[..., int], study: optuna.Study) -> None:
    rate = {"lr": optuna.distributions.FloatDistribution(0, 1)}
    study.add_trial(optuna.create_trial(value=0.1, params={"lr": 0.1}, distributions=rate))
    assert run(target=2) == 2


def test_a_small_space_ends_when_its_keys_are_used_up(
    study: optuna.Study, storage: RDBStorage, tiny: SearchSpace
) -> None:
    assert search(study, tiny, score, storage=storage, sampler=sampler(tiny), target=100) == 16
    assert {trial.state for trial in study.get_trials()} == {TrialState.COMPLETE}


def test_progress_is_told(run: Callable[..., int], study: optuna.Study) -> None:
    told: list[tuple[int, int]] = []
    run(target=3, on_trial=lambda trial: told.append((trial.number, len(trials(study, TrialState.COMPLETE)))))
    assert told == [(0, 1), (1, 2), (2, 3)]


def test_an_exception_fails_the_trial_and_passes_on(run: Callable[..., int], study: optuna.Study) -> None:
    def broken(architecture: Architecture) -> FakeScore:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        run(evaluate=broken)
    (trial,) = study.get_trials()
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["nasrec:failure"] == "error"
    assert trial.user_attrs["nasrec:reason"] == "MemoryError: no room"


def test_what_always_fails_is_given_up_and_the_search_goes_on(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    bad = space.random(np.random.default_rng(0))

    def broken(architecture: Architecture) -> FakeScore:
        if architecture == bad:
            raise ValueError("bad")
        return score(architecture)

    options = WorkerOptions(retries=2)
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"):
            run(evaluate=broken, first=[bad], options=options)
    assert run(evaluate=broken, first=[bad], options=options) == 10
    attempts = [trial.user_attrs.get("nasrec:attempt") for trial in trials(study, TrialState.FAIL)]
    assert attempts == [None, 1, 2]


def test_interrupted_by_hand_the_same_architecture_comes_next(run: Callable[..., int], study: optuna.Study) -> None:
    calls = 0

    def stopped(architecture: Architecture) -> FakeScore:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return score(architecture)

    with pytest.raises(KeyboardInterrupt):
        run(evaluate=stopped)
    run(target=3)
    lost, again = study.get_trials()[2:]
    assert (lost.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert lost.params == again.params
    assert lost.user_attrs["nasrec:failure"] == "interrupted"


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_a_score_that_is_no_number_costs_one_architecture(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace, value: float, name: str
) -> None:
    def sometimes(architecture: Architecture) -> FakeScore:
        return FakeScore(value) if int(architecture.key, 16) % 3 == 0 else score(architecture)

    told: list[int] = []

    def on_trial(trial: FrozenTrial) -> None:
        told.append(len(trials(study, TrialState.COMPLETE)))

    for target in (6, 12):  # again, as in a process that was started again
        assert run(evaluate=sometimes, target=target, sampler=SWAPPED[name](space), on_trial=on_trial) == 6
    left_out = trials(study, TrialState.PRUNED)
    keys = [trial.user_attrs["nasrec:key"] for trial in study.get_trials()]
    assert left_out
    assert all(f"is {value}: expected a finite number" in trial.user_attrs["nasrec:reason"] for trial in left_out)
    assert len(keys) == len({*keys}) == 12 + len(left_out), "no key is tried twice"
    assert told == [*range(1, 13)]


def test_an_architecture_without_a_score_is_not_tried_again_for_a_user(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    bad = space.random(np.random.default_rng(0))
    calls: list[str] = []

    def count(architecture: Architecture) -> FakeScore:
        calls.append(architecture.key)
        return FakeScore(math.nan) if architecture == bad else score(architecture)

    run(evaluate=count, target=1, first=[bad])
    study.enqueue_trial(bad.params)
    run(evaluate=count, target=2)
    assert calls.count(bad.key) == 1


def test_a_supernet_without_finite_scores_is_at_fault(run: Callable[..., int], study: optuna.Study) -> None:
    run(target=1)
    for _ in range(2):
        with pytest.raises(StudyError, match=r"16 of 17 architectures .* with a lower learning rate"):
            run(evaluate=lambda architecture: FakeScore(math.nan))
    assert len(trials(study, TrialState.PRUNED)) == 16
    assert len(trials(study, TrialState.COMPLETE)) == 1


def test_a_small_space_without_finite_scores_is_an_error(
    study: optuna.Study, storage: RDBStorage, tiny: SearchSpace
) -> None:
    with pytest.raises(StudyError, match="16 of 16 architectures"):
        search(study, tiny, lambda a: FakeScore(math.inf), storage=storage, sampler=sampler(tiny), target=4)


def test_two_workers_with_one_key_the_first_scores(
    run: Callable[..., int], storage: RDBStorage, space: SearchSpace
) -> None:
    wanted, other = (space.random(np.random.default_rng(seed)) for seed in range(2))
    scored: list[str] = []

    def count(architecture: Architecture) -> FakeScore:
        scored.append(architecture.key)
        return score(architecture)

    def another_is_faster() -> Architecture:
        # Another worker, that inserts after this one has looked and before it inserts itself.
        second = open_study(storage, name="search", identity={})
        search(second, space, count, storage=storage, sampler=Scripted([lambda: wanted]), target=9, count=1)
        return wanted

    finished = run(evaluate=count, target=2, sampler=Scripted([another_is_faster, lambda: other]))
    assert finished == 1
    assert scored == [wanted.key, other.key]
    abandoned = optuna.load_study(study_name="search", storage=storage).get_trials()[1]
    assert abandoned.state == TrialState.FAIL
    assert "another worker was first" in abandoned.user_attrs["nasrec:reason"]


def test_two_workers_with_one_key_while_the_first_still_runs(
    run: Callable[..., int], study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    wanted = space.random(np.random.default_rng(0))
    scored: list[str] = []

    def while_another_runs(architecture: Architecture) -> FakeScore:
        scored.append(architecture.key)
        if len(scored) == 1:
            # A worker that proposes without having seen this one. It tries once, and finds nothing else.
            second = open_study(storage, name="search", identity={})
            blind = Scripted([lambda: wanted, lambda: None])
            with pytest.raises(StopIteration):  # It waits for this trial, asks again, and the script is over.
                search(second, space, while_another_runs, storage=storage, sampler=blind, target=2)
        return score(architecture)

    assert run(evaluate=while_another_runs, target=1, sampler=Scripted([lambda: wanted])) == 1
    assert scored == [wanted.key]
    assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE, TrialState.FAIL]


def test_the_last_place_is_taken_once(
    run: Callable[..., int], study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    mine, theirs = (space.random(np.random.default_rng(seed)) for seed in range(2))

    def another_is_faster() -> Architecture:
        second = open_study(storage, name="search", identity={})
        search(second, space, score, storage=storage, sampler=Scripted([lambda: theirs]), target=1)
        return mine

    assert run(target=1, sampler=Scripted([another_is_faster])) == 0
    assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE, TrialState.FAIL]
    assert "the last of 1 trials" in study.get_trials()[1].user_attrs["nasrec:reason"]


def test_a_worker_that_was_taken_for_dead_drops_its_score(run: Callable[..., int], study: optuna.Study) -> None:
    def slow(architecture: Architecture) -> FakeScore:
        if not trials(study, TrialState.FAIL):
            study.tell(0, state=TrialState.FAIL)
        return score(architecture)

    assert run(target=2, evaluate=slow) == 2
    assert study.get_trials()[0].state == TrialState.FAIL
    assert len(trials(study, TrialState.COMPLETE)) == 2


def test_what_someone_asked_for_by_hand_is_not_waited_for(run: Callable[..., int], study: optuna.Study) -> None:
    study.ask()
    assert run(target=2) == 2


def test_a_sampler_of_another_space_is_refused(run: Callable[..., int], tiny: SearchSpace) -> None:
    with pytest.raises(StudyError, match="of the space 'tiny', but the study is of 'two-blocks'"):
        run(sampler=sampler(tiny))


def test_a_study_of_another_storage_is_refused(space: SearchSpace, storage: RDBStorage) -> None:
    with pytest.raises(StudyError, match="holds no study named"):
        search(
            optuna.create_study(study_name="elsewhere"),
            space,
            score,
            storage=storage,
            sampler=sampler(space),
            target=1,
        )


def test_lost_parameters_come_before_any_proposal(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    lost, other = (space.random(np.random.default_rng(seed)) for seed in range(2))

    def interrupted(architecture: Architecture) -> FakeScore:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(evaluate=interrupted, sampler=Scripted([lambda: lost]))
    run(target=2, sampler=Scripted([lambda: other]))
    keys = [trial.user_attrs["nasrec:key"] for trial in trials(study, TrialState.COMPLETE)]
    assert keys == [lost.key, other.key]


def test_lost_parameters_are_given_up_after_so_many_retries(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.search.loop.INTERRUPTED", "stale")  # as if the process had died
    lost, other = (space.random(np.random.default_rng(seed)) for seed in range(2))

    def deadly(architecture: Architecture) -> FakeScore:
        if architecture == lost:
            raise KeyboardInterrupt
        return score(architecture)

    options = WorkerOptions(retries=1)
    with pytest.raises(KeyboardInterrupt):
        run(evaluate=deadly, sampler=Scripted([lambda: lost]), options=options)
    with pytest.raises(KeyboardInterrupt):
        run(evaluate=deadly, sampler=Scripted([]), options=options)
    assert run(target=1, evaluate=deadly, sampler=Scripted([lambda: other]), options=options) == 1


SWAPPED: dict[str, Callable[[SearchSpace], BaseSampler]] = {
    "evolution": sampler,
    "tpe": lambda space: TPESampler(seed=0, n_startup_trials=4),
    "nsga-ii": lambda space: NSGAIISampler(seed=0, population_size=4),
    "random": lambda space: RandomSampler(seed=0),
    "ours": lambda space: ArchitectureRandomSampler(space),
}


def test_any_sampler_goes_on_with_a_study(
    run: Callable[..., int], study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    for round_, name in enumerate([*SWAPPED, *SWAPPED], 1):
        assert run(target=9 * round_, sampler=SWAPPED[name](space)) == 9
        # Plain Optuna with the same labels, as in somebody's notebook.
        other = optuna.load_study(study_name="search", storage=storage, sampler=SWAPPED[name](space))
        trial = other.ask(dict(distributions(space)))
        assert space.from_params(trial.params).params == trial.params
        other.tell(trial, state=TrialState.FAIL)
    done = trials(study, TrialState.COMPLETE)
    assert len({space.from_params(trial.params).key for trial in done}) == len(done) == 90
    generations = [trial.system_attrs.get("NSGAIISampler:generation") for trial in done]
    assert [g for g in generations if g is not None] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4]


def test_a_study_that_maximises_is_refused(space: SearchSpace, storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="upwards", direction="maximize")
    with pytest.raises(StudyError, match=r"'upwards' has the direction maximize for log_loss.*direction=\"minimize\""):
        search(study, space, score, storage=storage, sampler=sampler(space), target=1)
    assert not study.get_trials()
