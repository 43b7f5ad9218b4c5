from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nasrec_automl.processes import own_host, start_of
from nasrec_automl.search.stale import worker_id
from tests.search.search_worker import fail_stale

HOST = socket.gethostname()


def add(study: optuna.Study, worker: str | None, *, age: float = 0.0) -> None:
    attrs = {} if worker is None else {"nasrec:worker": worker, "nasrec:alive": time.time() - age}
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs=attrs))


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.get_trials()]


def test_ids_are_unique_and_name_this_process() -> None:
    first, second = worker_id(), worker_id()
    assert first != second
    host, pid, started, _ = first.rsplit(":", 3)
    assert (host, int(pid)) == (own_host(), os.getpid())
    assert host.partition("@")[0] == HOST
    assert float(started) == pytest.approx(start_of(), abs=0.01)


def test_a_trial_of_a_living_process_stays(study: optuna.Study, storage: RDBStorage) -> None:
    add(study, worker_id(), age=1e6)
    assert fail_stale(study, storage, lost_after=1.0) == 0
    assert states(study) == [TrialState.RUNNING]


def test_a_process_that_is_gone(study: optuna.Study, storage: RDBStorage) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = start_of(process.pid)
    process.wait()
    add(study, f"{own_host()}:{process.pid}:{started:.2f}:x")
    assert fail_stale(study, storage) == 1
    (trial,) = study.get_trials()
    assert trial.user_attrs["nasrec:failure"] == "stale"
    assert trial.user_attrs["nasrec:reason"] == f"its worker, process {process.pid} on {HOST}, is gone"


def test_a_process_of_another_container_of_the_same_host_name_is_judged_by_time(
    study: optuna.Study, storage: RDBStorage
) -> None:
    add(study, f"{HOST}@1:999999:0:x")  # no such number here
    assert fail_stale(study, storage) == 0
    add(study, f"{HOST}@1:{os.getpid()}:{start_of():.2f}:y", age=1e6)  # the number of another here
    assert fail_stale(study, storage) == 1
    assert states(study) == [TrialState.RUNNING, TrialState.FAIL]
    reason = study.get_trials()[1].user_attrs["nasrec:reason"]
    assert reason.startswith(f"its worker, process {os.getpid()} on {HOST}, has not been heard of")


def test_a_killed_process_that_nobody_has_waited_for(study: optuna.Study, storage: RDBStorage) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    add(study, f"{own_host()}:{process.pid}:{start_of(process.pid):.2f}:x")
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert fail_stale(study, storage) == 1
    process.wait()


def test_another_process_that_has_got_the_number(study: optuna.Study, storage: RDBStorage) -> None:
    add(study, f"{own_host()}:{os.getpid()}:{start_of() - 60:.2f}:x")
    assert fail_stale(study, storage) == 1


def test_on_another_host_time_decides(study: optuna.Study, storage: RDBStorage) -> None:
    add(study, "elsewhere:1:0.00:x", age=50)
    add(study, "elsewhere:1:0.00:y", age=150)
    assert fail_stale(study, storage, lost_after=100) == 1
    assert states(study) == [TrialState.RUNNING, TrialState.FAIL]
    assert "for 100 seconds" in study.get_trials()[1].user_attrs["nasrec:reason"]


def test_a_host_with_colons_in_its_name(study: optuna.Study, storage: RDBStorage) -> None:
    add(study, "fe80::1:17:0.00:x", age=150)
    assert fail_stale(study, storage, lost_after=100) == 1
    assert "process 17 on fe80::1," in study.get_trials()[0].user_attrs["nasrec:reason"]


def test_only_what_was_enqueued_is_enqueued_again(study: optuna.Study, storage: RDBStorage) -> None:
    attrs = {"nasrec:worker": "elsewhere:1:0.00:x", "nasrec:alive": 0.0}
    for noted in ({"tpe:relative_params": "{}"}, {"fixed_params": {"x": 1}}):
        study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs=attrs, system_attrs=noted))
    assert fail_stale(study, storage) == 2
    assert states(study) == [TrialState.FAIL, TrialState.FAIL, TrialState.WAITING]
    assert study.get_trials()[-1].system_attrs == {"fixed_params": {"x": 1}}


def test_what_no_worker_of_ours_runs_is_left_alone(study: optuna.Study, storage: RDBStorage) -> None:
    add(study, None, age=1e6)
    assert fail_stale(study, storage, lost_after=1) == 0
