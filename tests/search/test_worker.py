"""Trials that users have enqueued, as every worker treats them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
from optuna.samplers import NSGAIISampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import StudyError
from nasrec_automl.processes import own_host
from nasrec_automl.search import (
    WorkerOptions,
    distributions,
    open_study,
    search,
)
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.scoring import ArchitectureSource
from nasrec_automl.search.stale import worker_id
from nasrec_automl.search.task import Proposal
from nasrec_automl.search.worker import Worker
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import tiny_schema
from tests.search.search_worker import FakeScore, fail_stale, sampler, score, trials


def test_enqueued_trials_are_run_first_and_once(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    run(target=1)
    mine, twice, hand = (space.random(np.random.default_rng(seed)) for seed in range(3))
    for architecture in (mine, twice, twice):
        study.enqueue_trial(dict(architecture.params), user_attrs={"wish": "mine"})
    assert run(target=5, first=[hand]) == 4
    done = trials(study, TrialState.COMPLETE)
    assert [space.from_params(trial.params).key for trial in done[1:4]] == [mine.key, twice.key, hand.key]
    first = done[1]
    assert (first.value, first.user_attrs["wish"]) == (score(mine).log_loss, "mine")
    assert first.user_attrs["nasrec:key"] == mine.key
    assert first.user_attrs["nasrec:worker"]
    assert first.params == mine.params
    (again,) = trials(study, TrialState.FAIL)
    assert again.user_attrs["nasrec:reason"] == f"the study has the key {twice.key} already"


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


def test_another_seed_draws_other_parameters_where_an_enqueued_trial_leaves_them_open(
    storage: RDBStorage, space: SearchSpace
) -> None:
    drawn = []
    for number, seed in enumerate((0, 0, 1)):
        study = open_study(storage, name=f"study {number}", identity={})
        study.enqueue_trial({"block1/dense_dim": 32})
        search(study, space, score, storage=storage, sampler=sampler(space), target=1, seed=seed)
        drawn.append(study.get_trials()[0].params)
    assert drawn[0] == drawn[1] != drawn[2]


def all_but_one(space: SearchSpace, study: optuna.Study) -> Architecture:
    """Leave one architecture of the tiny space to be scored; return it."""
    listed = {(one := space.random(np.random.default_rng(seed))).key: one for seed in range(200)}
    last = listed.pop(min(listed))
    for one in listed.values():
        study.add_trial(optuna.create_trial(params=one.params, distributions=distributions(space), value=1.0))
    assert len(listed) == 15
    return last


def test_what_an_enqueued_trial_leaves_open_is_drawn_anew_where_the_study_has_it(
    storage: RDBStorage, tiny: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    for broken in (False, True):
        study = open_study(storage, name=f"broken {broken}", identity={})
        last = all_but_one(tiny, study)
        label = "block1/dense_dim"
        study.enqueue_trial({label: last.params[label]}, user_attrs={"wish": "mine"})
        options = WorkerOptions(poll=0.0)
        shared = {"storage": storage, "sampler": sampler(tiny), "target": 16, "options": options}
        call = partial(search, study, tiny, score, **shared, seed=1)  # draws first what is known
        if broken:  # killed as it gives the first draw up
            with monkeypatch.context() as dying:
                dying.setattr(Ledger, "fail", Mock(side_effect=[KeyboardInterrupt]))
                with pytest.raises(KeyboardInterrupt):
                    call()
        assert call() == 1
        (done,) = [trial for trial in study.get_trials() if trial.user_attrs.get("wish") and trial.value is not None]
        assert done.params == last.params
        assert done.user_attrs["nasrec:wish"][0] == 15
        drawn.append(done.user_attrs["nasrec:wish"][1])
        failed = trials(study, TrialState.FAIL)
        assert all("; what was left open is drawn anew" in one.user_attrs["nasrec:reason"] for one in failed[broken:])
    assert drawn[0] == drawn[1] > 0


def test_what_an_enqueued_trial_leaves_open_is_not_drawn_for_ever(storage: RDBStorage, tiny: SearchSpace) -> None:
    study = open_study(storage, name="tiny", identity={})
    last = all_but_one(tiny, study)
    taken = next(dim for dim in (16, 32) if dim != last.params["block1/dense_dim"])
    study.enqueue_trial({"block1/dense_dim": taken})
    options = WorkerOptions(poll=0.0)
    assert search(study, tiny, score, storage=storage, sampler=sampler(tiny), target=16, options=options) == 1
    *again, given_up = trials(study, TrialState.FAIL)
    assert len(again) == 20
    assert given_up.user_attrs["nasrec:reason"].endswith("already")
    assert trials(study, TrialState.WAITING) == []


def test_an_enqueued_trial_of_another_space_fails_with_the_reason(run: Callable[..., int], study: optuna.Study) -> None:
    study.enqueue_trial({"block1/dense_dim": 17})
    assert run(target=2) == 2
    (failed,) = trials(study, TrialState.FAIL)
    assert "parameters that do not fit" in failed.user_attrs["nasrec:reason"]


@pytest.mark.parametrize("budget", [None, Budget(tiny_schema())])
def test_an_enqueued_number_that_stands_for_a_choice_is_the_choice(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace, budget: Budget | None
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial({label: int(v) if isinstance(v, bool) else v for label, v in mine.params.items()})
    assert run(target=2, budget=budget) == 2
    first = study.get_trials()[0]
    assert first.state == TrialState.COMPLETE
    assert first.user_attrs["nasrec:key"] == mine.key
    assert {label: type(value) for label, value in first.params.items()} == {
        label: type(value) for label, value in mine.params.items()
    }


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
    first = Proposal(space.random(np.random.default_rng(0)).params)
    assert worker.begin(first, worker.census(), worker_id()) is not None
    study.enqueue_trial(dict(space.random(np.random.default_rng(1)).params))
    assert worker.next_start(worker.census()) is None
    worker.target = 2
    assert worker.next_start(worker.census()) is not None


def test_an_enqueued_trial_is_taken_by_one_worker(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> None:
    study.enqueue_trial(dict(space.random(np.random.default_rng(0)).params))
    workers = [
        Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 9, WorkerOptions()) for _ in range(2)
    ]
    waiting = [worker.census().waiting[0] for worker in workers]
    assert workers[0].adopt(waiting[0], worker_id()) is not None
    assert workers[1].adopt(waiting[1], worker_id()) is None
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING]


def test_where_a_database_lets_two_take_a_trial_the_last_name_in_it_counts(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.enqueue_trial(dict(space.random(np.random.default_rng(0)).params))
    source = ArchitectureSource(study, space, ())
    first, second = Ledger(study, storage), Ledger(study, storage)
    (waiting,) = first.trials()
    monkeypatch.setattr(first, "_take", lambda trial_id: True)
    assert second.adopt(waiting, source, worker="second") is not None
    write = first._write

    def before_the_other(trial_id: int, attrs: Any) -> None:
        if "nasrec:worker" not in attrs:
            write(trial_id, attrs)

    monkeypatch.setattr(first, "_write", before_the_other)
    assert first.adopt(waiting, source, worker="first") is None
    assert [trial.user_attrs["nasrec:worker"] for trial in study.get_trials()] == ["second"]


def test_of_two_enqueued_trials_of_one_key_the_earlier_goes_on(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    mine = dict(space.random(np.random.default_rng(0)).params)
    for _ in range(2):
        study.enqueue_trial(mine)
    workers = [
        Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 9, WorkerOptions(poll=0.01))
        for _ in range(2)
    ]
    early, late = workers[0].census().waiting
    taken = workers[1].ledger.adopt(late, workers[1].source, worker="late")
    assert taken is not None
    adopted = workers[0].adopt(early, worker_id())
    assert adopted is not None
    assert adopted.number == early.number
    # The other one looks now.
    reason = workers[1]._beaten(workers[1].source.key(mine), workers[1]._others(taken))
    assert reason is not None


def test_what_a_user_wrote_into_an_enqueued_trial_goes_with_its_next_attempt(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    def ctrl_c(architecture: Architecture) -> FakeScore:
        raise KeyboardInterrupt

    study.enqueue_trial(dict(space.random(np.random.default_rng(0)).params), user_attrs={"warm_start": "trial 5"})
    with pytest.raises(KeyboardInterrupt):
        run(target=1, evaluate=ctrl_c)
    assert run(target=1) == 1
    (done,) = trials(study, TrialState.COMPLETE)
    assert done.user_attrs["warm_start"] == "trial 5"


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
    assert worker.adopt(waiting, worker_id()) is not None
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
    begun, _ = beginning.ledger.reserve(source, Proposal(mine.params), {"nasrec:key": mine.key}, worker="other")
    waited: list[float] = []

    def withdraw(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            beginning.ledger.fail(begun, "abandoned", "another worker was first")

    monkeypatch.setattr("nasrec_automl.search.worker.time.sleep", withdraw)
    adopted = adopting.adopt(waiting, worker_id())
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
    assert worker.adopt(waiting, worker_id()) is None
    again = study.get_trials()[-1]
    assert again.state == TrialState.WAITING
    assert again.user_attrs == {"wish": "mine", "nasrec:wish": [0, 0]}
    worker.target = 2
    adopted = worker.adopt(again, worker_id())
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
            ledger.adopt(ledger.trials()[0], source, worker=f"{own_host()}:0:0:x")
    assert study.get_trials()[0].state == TrialState.RUNNING
    assert run(target=1) == 1
    (done,) = trials(study, TrialState.COMPLETE)
    assert space.from_params(done.params) == mine


def test_a_lost_trial_that_cannot_be_failed_costs_no_other_its_wish(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, source = Ledger(study, storage), ArchitectureSource(study, space, ())
    for seed in range(2):
        study.enqueue_trial(dict(space.random(np.random.default_rng(seed)).params))
        with monkeypatch.context() as dying:
            dying.setattr("nasrec_automl.search.ledger.suggest", Mock(side_effect=SystemExit))
            with pytest.raises(SystemExit):
                ledger.adopt(ledger.trials()[seed], source, worker=f"{own_host()}:0:0:x{seed}")
    fail, running = Ledger.fail, trials(study, TrialState.RUNNING)
    assert len(running) == 2

    def refuses_the_second(self: Ledger, trial: FrozenTrial, *args: Any) -> bool:
        if trial.number == running[1].number:
            raise StudyError("database is locked")
        return fail(self, trial, *args)

    monkeypatch.setattr(Ledger, "fail", refuses_the_second)
    with pytest.raises(StudyError, match="locked"):
        fail_stale(study, storage)
    (again,) = trials(study, TrialState.WAITING)
    assert again.system_attrs["fixed_params"] == running[0].system_attrs["fixed_params"]


@pytest.mark.parametrize("after", ["nasrec:taker", "take"])
def test_an_enqueued_trial_whose_worker_dies_as_it_takes_it_is_not_lost(
    run: Callable[..., int],
    study: optuna.Study,
    storage: RDBStorage,
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
    after: str,
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params))
    ledger, source = Ledger(study, storage), ArchitectureSource(study, space, ())
    take = ledger._take

    def die(trial_id: int) -> bool:
        if after == "take":
            take(trial_id)
        raise SystemExit

    monkeypatch.setattr(ledger, "_take", die)
    with pytest.raises(SystemExit):
        ledger.adopt(ledger.trials()[0], source, worker=f"{own_host()}:0:0:x")
    (trial,) = study.get_trials()
    assert trial.state == (TrialState.RUNNING if after == "take" else TrialState.WAITING)
    assert "nasrec:worker" not in trial.user_attrs
    assert run(target=1) == 1
    (done,) = trials(study, TrialState.COMPLETE)
    assert space.from_params(done.params) == mine


def test_who_comes_too_late_leaves_the_name_of_one_that_dies_as_it_takes_it(
    run: Callable[..., int],
    study: optuna.Study,
    storage: RDBStorage,
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params))
    source = ArchitectureSource(study, space, ())
    dead, late = Ledger(study, storage), Ledger(study, storage)
    take, (waiting,) = dead._take, dead.trials()

    def overtaken(trial_id: int) -> bool:
        take(trial_id)
        return False

    def die(trial_id: int) -> bool:
        """Both have announced themselves before one of them takes it."""
        assert late.adopt(waiting, source, worker=f"{own_host()}:0:0:late") is None
        raise SystemExit

    monkeypatch.setattr(late, "_take", overtaken)
    monkeypatch.setattr(dead, "_take", die)
    with pytest.raises(SystemExit):
        dead.adopt(waiting, source, worker=f"{own_host()}:0:0:dead")
    assert study.get_trials()[0].state == TrialState.RUNNING
    assert run(target=1) == 1
    (done,) = trials(study, TrialState.COMPLETE)
    assert space.from_params(done.params) == mine


def test_a_waiting_trial_that_was_added_whole_is_not_drawn_anew(
    run: Callable[..., int], study: optuna.Study, space: SearchSpace
) -> None:
    run(target=3)
    known = trials(study, TrialState.COMPLETE)[0].params
    study.add_trial(
        optuna.create_trial(state=TrialState.WAITING, params=known, distributions=dict(distributions(space)))
    )
    assert run(target=4) == 1
    (failed,) = trials(study, TrialState.FAIL)
    assert failed.user_attrs["nasrec:reason"].endswith("already")
    assert len(study.get_trials()) == 5


def test_who_comes_too_late_for_an_enqueued_trial_leaves_it_alone(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    mine = space.random(np.random.default_rng(0))
    for _ in range(2):
        study.enqueue_trial(dict(mine.params))
    ledger, source = Ledger(study, storage), ArchitectureSource(study, space, ())
    running, ended = ledger.trials()
    asked = [study.ask(), study.ask()]  # by the user's own process
    study.tell(asked[1], 1.0)
    for trial in (running, ended):
        assert ledger.adopt(trial, source, worker=f"{own_host()}:0:0:x") is None
    assert fail_stale(study, storage) == 0
    study.tell(asked[0], 1.0)


def test_a_users_own_run_of_an_enqueued_trial_is_no_dead_workers(
    study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    mine = space.random(np.random.default_rng(0))
    study.enqueue_trial(dict(mine.params), user_attrs={"nasrec:taker": f"{own_host()}:0:0:x"})
    study.ask(dict(distributions(space)))
    assert fail_stale(study, storage) == 0
