"""Workers that are killed, and workers that run at the same time, as real processes on a real database."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

WORKER = Path(__file__).with_name("search_worker.py")


def start(url: str, target: int, *, seconds: float = 0.0, sampler: str = "evolution") -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), url, str(target), str(seconds), "20", "safe", sampler]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def wait_until_scoring(url: str) -> None:
    study = optuna.load_study(study_name="search", storage=url)
    end = time.monotonic() + 60
    while not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        assert time.monotonic() < end, "no trial runs after a minute"
        time.sleep(0.05)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


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
def test_killed_anywhere_and_resumed_it_ends_as_if_unbroken(tmp_path: Path, sampler: str, seed: int) -> None:
    unbroken, broken = (f"sqlite:///{tmp_path / name}.db" for name in ("unbroken", "broken"))
    reference = start(unbroken, 40, sampler=sampler)
    process = start(broken, 40, seconds=300, sampler=sampler)
    wait_until_ready(process)
    wait_until_scoring(broken)
    kill(process)
    rng = random.Random(seed)
    for _ in range(6):
        process = start(broken, 40, seconds=0.03, sampler=sampler)
        wait_until_ready(process)
        time.sleep(rng.uniform(0.02, 0.5))
        kill(process)
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
    command = [sys.executable, str(WORKER), url, "5", "0", "1", "deadly"]
    codes = [subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert len(complete(url)) == 5
    failed = optuna.load_study(study_name="search", storage=url).get_trials(states=(TrialState.FAIL,))
    assert [trial.user_attrs.get("nasrec:attempt") for trial in failed] == [None, 1]
    assert all(trial.user_attrs["nasrec:failure"] == "stale" for trial in failed)
    assert all("is gone" in trial.user_attrs["nasrec:reason"] for trial in failed)


@pytest.mark.parametrize("sampler", ["evolution", "nsga2"])
def test_two_workers_one_of_them_killed(tmp_path: Path, sampler: str) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    workers = [
        start(url, 60, seconds=0.02, sampler=sampler) for _ in range(2)
    ]  # On a database that neither has made yet.
    for worker in workers:
        wait_until_ready(worker)
    time.sleep(0.7)
    kill(workers[0])
    workers[0] = start(url, 60, seconds=0.02, sampler=sampler)
    assert [worker.wait() for worker in workers] == [0, 0]
    assert len(complete(url)) == 60
    pids = {
        trial.user_attrs["nasrec:worker"].split(":")[1]
        for trial in optuna.load_study(study_name="search", storage=url).get_trials()
    }
    assert len(pids) >= 2
