from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.census import Census, Tally, seconds_spent
from nasrec_automl.search.task import Params, Proposal, Task, TrialOutcome


class Numbers(Task):
    """Trials about one number; its key is computed once a trial."""

    def __init__(self) -> None:
        self.distributions: dict[str, BaseDistribution] = {"x": IntDistribution(0, 9)}
        self.computed = 0

    def key(self, params: Params) -> str | None:
        self.computed += 1
        return str(params["x"]) if "x" in params else None

    def propose(self, census: Census) -> Proposal | None:
        return None

    def run(self, trial: FrozenTrial) -> TrialOutcome:
        raise NotImplementedError


@pytest.fixture
def numbers() -> optuna.Study:
    return optuna.create_study()


def add(study: optuna.Study, x: int, state: TrialState, *, validations: int = 0, **attrs: object) -> None:
    study.add_trial(
        optuna.create_trial(
            state=state,
            value=1.0 if state == TrialState.COMPLETE else None,
            params={"x": x},
            distributions={"x": IntDistribution(0, 9)},
            user_attrs={f"nasrec:{name}": value for name, value in attrs.items()},
            intermediate_values=dict.fromkeys(range(validations), 0.5),
        )
    )


def test_what_is_counted(numbers: optuna.Study) -> None:
    add(numbers, 0, TrialState.COMPLETE)
    add(numbers, 1, TrialState.RUNNING, worker="w")
    add(numbers, 2, TrialState.RUNNING)
    add(numbers, 3, TrialState.FAIL, failure="stale")
    add(numbers, 4, TrialState.FAIL, failure="error")
    add(numbers, 5, TrialState.FAIL, failure="abandoned")
    add(numbers, 6, TrialState.FAIL)
    add(numbers, 7, TrialState.RUNNING, worker="w", failure="abandoned")
    add(numbers, 8, TrialState.PRUNED)
    census = Tally(Numbers(), retries=3).count(numbers.get_trials())
    assert census.done == 1
    assert [trial.number for trial in census.running] == [1]
    assert census.taken == {"0", "1", "2", "8"}
    assert census.failures == {"3": 1, "4": 1}
    assert [trial.number for trial in census.retry] == [3]


def test_a_lost_trial_is_no_longer_retried_once_its_key_runs_or_is_done(numbers: optuna.Study) -> None:
    tally = Tally(Numbers(), retries=3)
    add(numbers, 3, TrialState.FAIL, failure="stale")
    add(numbers, 3, TrialState.RUNNING, worker="w")
    assert tally.count(numbers.get_trials()).retry == ()
    numbers.tell(1, 1.0)
    assert tally.count(numbers.get_trials()).retry == ()


def test_keys_that_fail_too_often_are_given_up(numbers: optuna.Study, caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(Numbers(), retries=1)
    add(numbers, 3, TrialState.FAIL, failure="stale")
    assert tally.count(numbers.get_trials()).given_up == set()
    assert not caplog.records
    add(numbers, 3, TrialState.FAIL, failure="error")
    census = tally.count(numbers.get_trials())
    assert "trial 1 failed, as 1 before it: what it tries is given up" in caplog.text
    assert census.given_up == {"3"}
    assert census.retry == ()
    assert "3" in census.taken


def test_whoever_stops_a_worker_does_not_stop_its_trial(numbers: optuna.Study) -> None:
    tally = Tally(Numbers(), retries=1)
    for _ in range(5):
        add(numbers, 3, TrialState.FAIL, failure="interrupted")
    census = tally.count(numbers.get_trials())
    assert not census.given_up
    assert census.failures == {"3": 5}
    assert [trial.number for trial in census.retry] == [0]


@pytest.mark.parametrize(("reached", "given_up"), [([1, 2, 3, 4], False), ([1, 2, 2, 2], True), ([3, 1, 2], True)])
def test_a_process_that_dies_is_no_failure_where_it_came_further(
    numbers: optuna.Study, reached: list[int], given_up: bool
) -> None:
    for validations in reached:
        add(numbers, 3, TrialState.FAIL, validations=validations, failure="stale")
    assert bool(Tally(Numbers(), retries=1).count(numbers.get_trials()).given_up) is given_up


def test_what_has_ended_is_looked_at_once(numbers: optuna.Study) -> None:
    task = Numbers()
    tally = Tally(task, retries=1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        add(numbers, int(rng.integers(9)), TrialState.COMPLETE)
    assert tally.count(numbers.get_trials()).done == 5
    assert tally.count(numbers.get_trials()[:2]).done == 5
    assert task.computed == 5


def test_a_census_is_of_its_moment(numbers: optuna.Study) -> None:
    add(numbers, 0, TrialState.COMPLETE)
    tally = Tally(Numbers(), retries=3)
    before = tally.count(numbers.get_trials())
    add(numbers, 1, TrialState.COMPLETE)
    add(numbers, 2, TrialState.FAIL, failure="error")
    after = tally.count(numbers.get_trials())
    assert (before.done_keys, before.failures) == ({"0"}, {})
    assert (after.done_keys, after.failures) == ({"0", "1"}, {"2": 1})


def test_a_running_trial_may_get_its_parameters_later(numbers: optuna.Study) -> None:
    tally = Tally(Numbers(), retries=1)
    trial = numbers.ask()
    assert tally.count(numbers.get_trials()).running_keys == set()
    trial.suggest_int("x", 4, 4)
    assert tally.count(numbers.get_trials()).running_keys == {"4"}


@pytest.mark.parametrize(
    ("state", "attrs", "seconds"),
    [
        (TrialState.COMPLETE, {}, 600.0),
        (TrialState.PRUNED, {}, 600.0),
        (TrialState.FAIL, {"failure": "interrupted"}, 600.0),
        (TrialState.FAIL, {"failure": "error"}, 600.0),
        (TrialState.FAIL, {"failure": "stale"}, 0.0),
        (TrialState.FAIL, {"failure": "abandoned"}, 0.0),
        (TrialState.FAIL, {}, 0.0),
    ],
)
def test_what_was_tried_takes_its_time(
    numbers: optuna.Study, state: TrialState, attrs: dict[str, Any], seconds: float
) -> None:
    begun = datetime(2026, 1, 1, 12)
    add(numbers, 0, state, **attrs)
    trial = numbers.get_trials()[0]
    trial.datetime_start, trial.datetime_complete = begun, begun + timedelta(minutes=10)
    assert seconds_spent(trial) == seconds
    assert Tally(Numbers(), retries=3).count([trial]).seconds == seconds


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        (datetime(2026, 3, 29, 1, 55), datetime(2026, 3, 29, 3, 5)),
        (datetime(2026, 10, 25, 2, 55), datetime(2026, 10, 25, 2, 5, fold=1)),
    ],
    ids=["begins", "ends"],
)
def test_daylight_saving_counts_no_hour(
    numbers: optuna.Study, monkeypatch: pytest.MonkeyPatch, begun: datetime, ended: datetime
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        add(numbers, 0, TrialState.COMPLETE)
        trial = numbers.get_trials()[0]
        trial.datetime_start, trial.datetime_complete = begun, ended
        assert seconds_spent(trial) == 600
    finally:
        monkeypatch.undo()
        time.tzset()
