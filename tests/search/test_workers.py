"""Many workers on one study, killed at random and started again, and a server that is restarted under them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search import open_storage, open_study

WORKER = Path(__file__).with_name("search_worker.py")
TARGET = 200


class Crowd:
    """Workers as processes of their own, on one study."""

    def __init__(self, url: str, size: int, *, seconds: float) -> None:
        self._url, self._seconds = url, seconds
        self.study = open_study(open_storage(url), name="search", identity={"space": "two-blocks"})
        self.workers = [self._start() for _ in range(size)]

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), self._url, str(TARGET), str(self._seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill_one(self, rng: random.Random) -> None:
        """SIGKILL a worker that works, and start another in its place.

        Where a worker takes long to start, trials take longer from then on: the others are not to be done before it.
        """
        place = rng.randrange(len(self.workers))
        worker, begun = self.workers[place], time.monotonic()
        assert worker.stdout is not None
        worker.stdout.readline()
        self._seconds = max(self._seconds, min(0.5, (time.monotonic() - begun) / 20))
        time.sleep(rng.uniform(0.0, 0.8))
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        self.workers[place] = self._start()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
            worker.communicate()

    def wait(self) -> None:
        for worker in self.workers:
            _, error = worker.communicate(timeout=200)
            assert worker.returncode == 0, error

    def done(self) -> int:
        return len([trial for trial in self.trials() if trial.state == TrialState.COMPLETE])

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def check(trials: list[FrozenTrial]) -> Counter[str]:
    """The target is met exactly, nothing runs, every failure has its reason; returns the kinds of failure."""
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] == TARGET
    assert states.keys() <= {TrialState.COMPLETE, TrialState.FAIL}
    keys = Counter(trial.user_attrs["nasrec:key"] for trial in trials if trial.state == TrialState.COMPLETE)
    assert max(keys.values()) == 1
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert all(trial.user_attrs["nasrec:reason"] for trial in failed)
    if any(trial.user_attrs["nasrec:failure"] == "stale" for trial in failed):
        again = [trial for trial in trials if "nasrec:attempt" in trial.user_attrs]
        assert any(trial.state == TrialState.COMPLETE for trial in again), "what was lost was to be tried again"
    return Counter(trial.user_attrs["nasrec:failure"] for trial in failed)


def harass(crowd: Crowd, seed: int) -> None:
    rng = random.Random(seed)
    while crowd.done() < TARGET * 3 // 4:
        crowd.kill_one(rng)


@pytest.mark.slow
def test_four_workers_on_postgresql_killed_at_random(postgres_url: str) -> None:
    with Crowd(postgres_url, 4, seconds=0.1) as crowd:
        harass(crowd, seed=0)
        crowd.wait()
        kinds = check(crowd.trials())
        assert kinds["stale"] >= 5, "too few kills hit a running trial: the test shows nothing"
        assert kinds.keys() <= {"stale", "abandoned"}


@pytest.mark.slow
def test_two_workers_on_sqlite_killed_at_random(url: str) -> None:
    with Crowd(url, 2, seconds=0.05) as crowd:
        harass(crowd, seed=1)
        crowd.wait()
        kinds = check(crowd.trials())
        assert kinds["stale"] >= 5, "too few kills hit a running trial: the test shows nothing"


@pytest.mark.mysql
def test_four_workers_on_mysql_killed_at_random(mariadb_url: str) -> None:
    with Crowd(mariadb_url, 4, seconds=0.1) as crowd:
        harass(crowd, seed=2)
        crowd.wait()
        assert check(crowd.trials())["stale"] >= 5


@pytest.mark.slow
def test_postgresql_restarted_twice_in_the_middle(postgres: Any, postgres_url: str) -> None:
    with Crowd(postgres_url, 4, seconds=0.05) as crowd:
        for done, stop in ((TARGET // 4, signal.SIGQUIT), (TARGET // 2, signal.SIGINT)):  # As a crash, and in order.
            while crowd.done() < done:
                time.sleep(0.1)
            os.kill(postgres.get_pid(), stop)
            time.sleep(2)
            postgres.ensure_postgres_running()
        crowd.wait()  # All four go on to the end.
        kinds = check(crowd.trials())
        assert kinds.keys() <= {"interrupted", "abandoned"}
