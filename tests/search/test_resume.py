"""Workers that are killed, and workers that run at the same time, as real processes on a real database."""

from __future__ import annotations

import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.warm import run_warm, start_warm

WORKER = Path(__file__).with_name("search_worker.py")


class Worker:
    """A process that works on a search until it has so many architectures."""

    def __init__(self, folder: Path, url: str, target: int, *, seconds: float = 0.0, sampler: str = "evolution"):
        self._output = folder / uuid.uuid4().hex
        arguments = (url, target, seconds, 20, "safe", sampler)
        self._process = start_warm(WORKER, *arguments, outputs=[self._output, folder / "errors"])

    def wait_until_ready(self) -> None:
        end = time.monotonic() + 60
        while not (self._output.is_file() and self._output.read_text() == "ready\n"):
            assert self._process.is_alive(), "it was to be ready"
            assert time.monotonic() < end, "it is not ready after a minute"
            time.sleep(0.005)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Worker]:
    return partial(Worker, tmp_path)


def wait_until_scoring(url: str) -> None:
    study = optuna.load_study(study_name="search", storage=url)
    end = time.monotonic() + 60
    while not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        assert time.monotonic() < end, "no trial runs after a minute"
        time.sleep(0.05)


def complete(url: str) -> list[tuple[dict[str, Any], list[float], object]]:
    """Parameters, values and (of NSGA-II) generation of what was scored."""
    trials = optuna.load_study(study_name="search", storage=url).get_trials(deepcopy=False)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert max(Counter(trial.user_attrs["nasrec:key"] for trial in done).values()) == 1
    return [(trial.params, trial.values, trial.system_attrs.get("NSGAIISampler:generation")) for trial in done]


@pytest.mark.parametrize(
    ("sampler", "seed"),
    [
        ("evolution", 0),
        pytest.param("evolution", 1, marks=pytest.mark.slow),
        ("nsga2", 0),
        pytest.param("tpe", 0, marks=pytest.mark.slow),
    ],
)
def test_killed_anywhere_and_resumed_it_ends_as_if_unbroken(
    tmp_path: Path, start: Callable[..., Worker], sampler: str, seed: int
) -> None:
    unbroken, broken = (f"sqlite:///{tmp_path / name}.db" for name in ("unbroken", "broken"))
    reference = start(unbroken, 40, sampler=sampler)
    process = start(broken, 40, seconds=300, sampler=sampler)
    process.wait_until_ready()
    wait_until_scoring(broken)
    process.kill()
    rng = random.Random(seed)
    for _ in range(6):
        process = start(broken, 40, seconds=0.03, sampler=sampler)
        process.wait_until_ready()
        time.sleep(rng.uniform(0.02, 0.5))
        process.kill()
    assert start(broken, 40, sampler=sampler).wait() == 0
    assert reference.wait() == 0
    failed = optuna.load_study(study_name="search", storage=broken).get_trials(states=(TrialState.FAIL,))
    assert failed, "the first kill was to hit a running trial"
    assert all("is gone" in trial.user_attrs["nasrec:reason"] for trial in failed)
    assert len(complete(unbroken)) == 40
    assert complete(broken) == complete(unbroken)
    if sampler == "nsga2":  # ten a generation, the one that was given among them
        assert [generation for _, _, generation in complete(broken)] == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10


def test_what_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    codes = [run_warm(WORKER, url, 5, 0, 1, "deadly").returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert len(complete(url)) == 5
    failed = optuna.load_study(study_name="search", storage=url).get_trials(states=(TrialState.FAIL,))
    assert [trial.user_attrs.get("nasrec:attempt") for trial in failed] == [None, 1]
    assert all(trial.user_attrs["nasrec:failure"] == "stale" for trial in failed)
    assert all("is gone" in trial.user_attrs["nasrec:reason"] for trial in failed)


@pytest.mark.parametrize("sampler", ["evolution", "nsga2"])
def test_two_workers_one_of_them_killed(tmp_path: Path, start: Callable[..., Worker], sampler: str) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    # On a database that neither has made yet.
    workers = [start(url, 60, seconds=0.02, sampler=sampler) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    time.sleep(0.7)
    workers[0].kill()
    workers[0] = start(url, 60, seconds=0.02, sampler=sampler)
    assert [worker.wait() for worker in workers] == [0, 0]
    assert len(complete(url)) == 60
    pids = {
        trial.user_attrs["nasrec:worker"].split(":")[1]
        for trial in optuna.load_study(study_name="search", storage=url).get_trials()
    }
    assert len(pids) >= 2
