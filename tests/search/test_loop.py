"""How a worker goes from trial to trial: signs of life, interrupts, and the time that a study may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, BruteForceSampler, GridSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nasrec_automl import heartbeat
from nasrec_automl.architecture import Architecture
from nasrec_automl.search import (
    TrialOutcome,
    WorkerOptions,
    census,
    open_study,
    search,
)
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.scoring import ArchitectureSource
from nasrec_automl.search.stale import worker_id
from nasrec_automl.search.task import Proposal
from nasrec_automl.search.worker import Worker
from nasrec_automl.space import SearchSpace
from tests.search.search_worker import FakeScore, score, trials


def test_after_ctrl_c_between_writing_and_running_a_trial_the_next_call_ends(
    run: Callable[..., int], study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_beaten", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            run(target=3)
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING]
    assert run(target=3) == 3
    assert len(trials(study, TrialState.COMPLETE)) == 3


@pytest.mark.parametrize(
    "make", [lambda space: BruteForceSampler(seed=1), lambda space: GridSampler({**space.labels}, seed=1)]
)
def test_a_sampler_that_would_stop_the_study_leaves_nothing_out(
    make: Callable[[SearchSpace], BaseSampler], storage: RDBStorage, tiny: SearchSpace
) -> None:
    study = open_study(storage, name="tiny", identity={})
    assert search(study, tiny, score, storage=storage, sampler=make(tiny), target=99) == 16
    assert {trial.state for trial in study.get_trials()} == {TrialState.COMPLETE}


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


def test_no_trial_begins_once_the_study_has_taken_its_time(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "seconds_spent", lambda trial: 10.0)
    assert run(target=50, timeout=35.0) == 4
    assert run(target=50, timeout=35.0) == 0
    assert run(target=50, timeout=0.0) == 0
    assert run(target=6, timeout=99.0) == 2


def test_there_is_time_for_one_trial(run: Callable[..., int]) -> None:
    assert run(target=5, timeout=0.0) == 1


def test_what_runs_when_the_time_is_up_ends_first(
    run: Callable[..., int], study: optuna.Study, storage: RDBStorage, space: SearchSpace
) -> None:
    run(target=1)
    other = Worker(ArchitectureSource(study, space, ()), Ledger(study, storage), 50, WorkerOptions())
    trial = other.begin(Proposal(space.random(np.random.default_rng(7)).params), other.census(), worker_id())
    assert trial is not None
    ended: list[int] = []
    late = threading.Thread(target=lambda: ended.append(run(target=50, timeout=0.0)))
    late.start()
    late.join(1.5)
    assert late.is_alive()
    other.ledger.finish(trial, TrialOutcome(state=TrialState.COMPLETE, value=0.5))
    late.join(20)
    assert ended == [0]
    assert len(trials(study, TrialState.COMPLETE)) == 2
