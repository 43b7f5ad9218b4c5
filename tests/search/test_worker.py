from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl import heartbeat
from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError, StudyError
from nasrec_automl.search import (
    ArchitectureRandomSampler,
    Finished,
    RegularizedEvolutionSampler,
    WorkerOptions,
    distributions,
    fail_stale,
    open_study,
    search,
)
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.loop import Worker
from nasrec_automl.search.worker import ArchitectureSource
from nasrec_automl.space import SearchSpace, load_search_space


@dataclass(frozen=True)
class FakeScore:
    log_loss: float
    auc: float = 0.5
    standard_error: float = 0.01
    rows: int = 100
    stopped: bool = False


def score(architecture: Architecture) -> FakeScore:
    """Cheap, and the same in every process."""
    return FakeScore(int(architecture.key[:8], 16) / 2**32)


def sampler(space: SearchSpace) -> RegularizedEvolutionSampler:
    return RegularizedEvolutionSampler(space=space, population_size=8, tournament_size=4, children=4)


def trials(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=states)


class Scripted(RegularizedEvolutionSampler):
    """Proposes what it is told to, after something else has happened in the study."""

    def __init__(self, steps: list[Callable[[], Architecture | None]]) -> None:
        super().__init__()
        self._steps = iter(steps)

    def propose(self, study: optuna.Study, *, seen: Collection[str]) -> Architecture | None:
        return next(self._steps)()


@pytest.fixture
def run(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> Callable[..., int]:
    def call(**options: Any) -> int:
        arguments: dict[str, Any] = {"storage": storage, "sampler": sampler(space), "target": 10, **options}
        evaluate = arguments.pop("evaluate", score)
        return search(study, space, evaluate, **arguments)

    return call


def test_the_target_is_reached_and_kept(run: Callable[..., int], study: optuna.Study) -> None:
    assert run(target=12) == 12
    assert run(target=12) == 0
    assert run(target=15, count=2) == 2
    done = trials(study, TrialState.COMPLETE)
    assert len({trial.user_attrs["nasrec:key"] for trial in done}) == len(done) == 14


def test_what_a_trial_holds(run: Callable[..., int], study: optuna.Study, space: SearchSpace) -> None:
    run(target=1, describe=lambda architecture: {"macs": 7, "parameters": 8})
    (trial,) = study.get_trials()
    architecture = space.from_params(trial.params)
    assert trial.value == score(architecture).log_loss
    attrs = dict(trial.user_attrs)
    assert attrs.pop("nasrec:worker")
    assert attrs.pop("nasrec:alive")
    assert attrs == {
        "nasrec:key": architecture.key,
        "nasrec:macs": 7,
        "nasrec:parameters": 8,
        "nasrec:auc": 0.5,
        "nasrec:standard_error": 0.01,
        "nasrec:rows": 100,
        "nasrec:stopped": False,
    }


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


def test_a_small_space_ends_when_its_keys_are_used_up(
    study: optuna.Study, storage: RDBStorage, tiny: SearchSpace
) -> None:
    assert search(study, tiny, score, storage=storage, sampler=sampler(tiny), target=100) == 16
    assert {trial.state for trial in study.get_trials()} == {TrialState.COMPLETE}


def test_progress_is_told(run: Callable[..., int]) -> None:
    told: list[Finished] = []
    run(target=3, on_trial=told.append)
    assert [(ended.number, ended.done, ended.target) for ended in told] == [(0, 1, 3), (1, 2, 3), (2, 3, 3)]
    assert all(ended.outcome.state == TrialState.COMPLETE for ended in told)


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
def test_a_score_that_is_no_number_is_an_error(run: Callable[..., int], study: optuna.Study, value: float) -> None:
    with pytest.raises(StudyError, match="expected a finite number"):
        run(evaluate=lambda architecture: FakeScore(value))
    assert study.get_trials()[0].state == TrialState.FAIL


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
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
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


# Trials that a user has enqueued.


def test_enqueued_trials_are_run_first_and_once(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    run(target=1)
    mine, twice, hand = (space.random(np.random.default_rng(seed)) for seed in range(3))
    for architecture in (mine, twice, twice):
        study.enqueue_trial(dict(architecture.params), user_attrs={"wish": "mine"})
    told: list[Finished] = []
    assert run(target=5, first=[hand], describe=lambda architecture: {"macs": 7}, on_trial=told.append) == 4
    done = trials(study, TrialState.COMPLETE)
    assert [space.from_params(trial.params).key for trial in done[1:4]] == [mine.key, twice.key, hand.key]
    first = done[1]
    assert (first.value, first.user_attrs["wish"]) == (score(mine).log_loss, "mine")
    assert first.user_attrs["nasrec:key"] == mine.key
    assert first.user_attrs["nasrec:macs"] == 7
    assert first.user_attrs["nasrec:worker"]
    assert told[0].params == mine.params
    (again,) = trials(study, TrialState.FAIL)
    assert f"first with the key {twice.key}" in again.user_attrs["nasrec:reason"]


def test_an_enqueued_trial_may_leave_parameters_open(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    used = NSGAIISampler(population_size=4)
    run(target=1, sampler=used)
    for _ in range(3):
        study.enqueue_trial({"block1/dense_dim": 32})
    assert run(target=4, sampler=used) == 3
    done = trials(study, TrialState.COMPLETE)[1:]
    assert [trial.number for trial in done] == [1, 2, 3]
    assert {trial.params["block1/dense_dim"] for trial in done} == {32}
    assert len({space.from_params(trial.params).key for trial in done}) == 3


def test_an_enqueued_trial_of_another_space_fails_with_the_reason(run: Callable[..., int], study: optuna.Study) -> None:
    study.enqueue_trial({"block1/dense_dim": 17})
    assert run(target=2) == 2
    (failed,) = trials(study, TrialState.FAIL)
    assert "parameters of another space" in failed.user_attrs["nasrec:reason"]


def test_an_enqueued_trial_waits_for_room(run: Callable[..., int], study: optuna.Study, space: SearchSpace) -> None:
    run(target=2)
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params))
    assert run(target=2) == 0
    assert [trial.number for trial in trials(study, TrialState.WAITING)] == [2]
    assert run(target=3) == 1
    assert space.from_params(study.get_trials()[2].params) == mine


def test_an_enqueued_trial_waits_while_others_run_the_last(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    worker = Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 1, WorkerOptions())
    assert worker.begin(space.random(np.random.default_rng(0)).params, worker.census()) is not None
    study.enqueue_trial(dict(space.random(np.random.default_rng(1)).params))
    assert not worker.has_enqueued(worker.census())
    worker.target = 2
    assert worker.has_enqueued(worker.census())


def test_an_enqueued_trial_is_taken_by_one_worker(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> None:
    study.enqueue_trial(dict(space.random(np.random.default_rng(0)).params))
    workers = [
        Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 9, WorkerOptions()) for _ in range(2)
    ]
    waiting = [worker.census().waiting[0] for worker in workers]
    assert workers[0].adopt(waiting[0]) is not None
    assert workers[1].adopt(waiting[1]) is None
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING]


def test_a_trial_that_is_being_adopted_is_no_puzzle_to_other_hosts(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.enqueue_trial(dict(space.random(np.random.default_rng(0)).params))
    worker = Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 9, WorkerOptions())
    waiting = worker.census().waiting[0]
    looks: list[int] = []
    write = storage.set_trial_user_attr

    def write_and_look(trial_id: int, key: str, value: Any) -> None:
        write(trial_id, key, value)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
            looks.append(fail_stale(study, storage))

    monkeypatch.setattr(storage, "set_trial_user_attr", write_and_look)
    assert worker.adopt(waiting) is not None
    assert len(looks) > 2
    assert not any(looks)


def test_an_enqueued_trial_outlasts_one_that_sees_it_and_withdraws(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params))
    adopting, beginning = (
        Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 9, WorkerOptions()) for _ in range(2)
    )
    waiting = adopting.census().waiting[0]
    # The other one has written the same key, has not looked yet, and looks while this one waits.
    source = beginning.source
    begun, _ = beginning.ledger.reserve(source, mine.params, {"nasrec:key": mine.key}, worker="other")
    withdraw = lambda seconds: beginning.ledger.fail(begun, "abandoned", "another worker was first")  # noqa: E731
    monkeypatch.setattr("nasrec_automl.search.loop.time.sleep", withdraw)
    adopted = adopting.adopt(waiting)
    assert adopted is not None
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING, TrialState.FAIL]


def test_an_enqueued_trial_that_finds_no_room_is_enqueued_again(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    mine, other = (space.random(np.random.default_rng(seed)) for seed in range(2))
    study.enqueue_trial(dict(mine.params), user_attrs={"wish": "mine"})
    worker = Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 1, WorkerOptions())
    waiting = worker.census().waiting[0]
    study.add_trial(optuna.create_trial(params=other.params, distributions=distributions(space), value=1.0))
    assert worker.adopt(waiting) is None
    again = study.get_trials()[-1]
    assert again.state == TrialState.WAITING
    assert again.user_attrs == {"wish": "mine"}
    worker.target = 2
    adopted = worker.adopt(again)
    assert adopted is not None
    assert space.from_params(adopted.params) == mine


def test_an_enqueued_trial_whose_worker_dies_as_it_begins_is_not_lost(
    run: Callable[..., int],
    study: optuna.Study,
    storage: RDBStorage,
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params))
    ledger, source = Ledger(study, storage), ArchitectureSource(study, space, ())
    with monkeypatch.context() as dying:
        dying.setattr("nasrec_automl.search.ledger.suggest", Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            ledger.adopt(ledger.trials()[0], source, worker=f"{socket.gethostname()}:0:0:x")
    assert study.get_trials()[0].state == TrialState.RUNNING
    assert run(target=1) == 1
    (done,) = trials(study, TrialState.COMPLETE)
    assert space.from_params(done.params) == mine


def test_a_long_trial_gives_signs_of_life(
    run: Callable[..., int], study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)

    def slow(architecture: Architecture) -> FakeScore:
        first = study.get_trials()[0].user_attrs["nasrec:alive"]
        deadline = time.monotonic() + 10
        while study.get_trials()[0].user_attrs["nasrec:alive"] == first:
            assert time.monotonic() < deadline, "no sign of life"
            time.sleep(0.02)
        return score(architecture)

    assert run(target=1, evaluate=slow) == 1
