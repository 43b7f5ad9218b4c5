from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import Mock

import pytest

from nasrec_automl.experiment.manager import MANY_TRIALS, Manager, TrialJob, error_line


def job(number: int, status: str, **parameters: Any) -> dict[str, Any]:
    packed = json.dumps({"parameter_id": number, "parameters": parameters})
    content = {"trialJobId": f"t{number}", "status": status, "hyperParameters": [packed], "startTime": 100}
    return content if status == "RUNNING" else content | {"endTime": 1000 + number}


class Server(ThreadingHTTPServer):
    """NNI's REST interface, as far as it is used."""

    def __init__(self) -> None:
        super().__init__(("localhost", 0), Handler)
        self.limit = MANY_TRIALS
        self.time_limit: str | None = None
        self.jobs: list[dict[str, Any]] = []
        self.stderr: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answers = {
            "check-status": {"status": "RUNNING", "errors": []},
            "experiment": {
                "id": "abc",
                "params": {"maxTrialNumber": self.server.limit, "maxTrialDuration": self.server.time_limit},
            },
            "trial-jobs": self.server.jobs,
        }
        path = self.path.removeprefix("/api/v1/nni/")
        if path in answers:
            self.answer(json.dumps(answers[path]))
        elif path.split("/")[1] in self.server.stderr:
            self.answer(self.server.stderr[path.split("/")[1]])
        else:
            self.send_error(500)

    def do_PUT(self) -> None:
        assert self.path.endswith("experiment?update_type=MAX_TRIAL_NUM")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.limit = body["params"]["maxTrialNumber"]
        self.answer("")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def manager(server: Server) -> Manager:
    return Manager(server.url)


def test_finds_the_manager_behind_the_tuners_channel() -> None:
    assert Manager.of_channel("ws://localhost:8080/tuner").url == "http://localhost:8080"
    assert Manager.of_channel("ws://localhost:8080/prefix/tuner").url == "http://localhost:8080/prefix"


def test_reads_status_and_trials_in_order(server: Server, manager: Manager) -> None:
    server.jobs = [job(2, "RUNNING", stage="final"), job(1, "FAILED", stage="search", count=4), job(0, "SUCCEEDED")]
    assert manager.status() == ("RUNNING", [])
    search = {"stage": "search", "count": 4}
    assert manager.trials() == [
        TrialJob(id="t0", parameter_id=0, started=100, ended=1000, status="SUCCEEDED", parameters={}),
        TrialJob(id="t1", parameter_id=1, started=100, ended=1001, status="FAILED", parameters=search),
        TrialJob(id="t2", parameter_id=2, started=100, ended=None, status="RUNNING", parameters={"stage": "final"}),
    ]
    assert [trial.active for trial in manager.trials()] == [False, False, True]
    assert [trial.failed for trial in manager.trials()] == [False, True, False]


def test_the_limit_goes_down_to_what_was_submitted_and_up_again(server: Server, manager: Manager) -> None:
    server.jobs = [job(0, "SUCCEEDED"), job(1, "SUCCEEDED")]
    manager.make_room()
    assert server.limit == MANY_TRIALS
    server.jobs.append(job(2, "ADD_RESUMED"))  # announced, and run under another id
    manager.finish()
    assert server.limit == 2
    manager.make_room()
    assert server.limit == MANY_TRIALS


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (f"warning\n{error_line('age: no such column')}\nwarning at exit\n", "age: no such column"),
        ("Traceback\n  File\nImportError: no module\n\n", "ImportError: no module"),
        ("stderr is empty.", ""),
    ],
)
def test_last_words_are_those_of_the_trial_that_failed_last(
    server: Server, manager: Manager, stderr: str, words: str
) -> None:
    server.jobs = [job(0, "FAILED"), job(1, "FAILED"), job(2, "SUCCEEDED")]
    server.stderr = {"t0": "another", "t1": stderr, "t2": "another"}
    assert manager.last_words() == words


@pytest.mark.parametrize(
    ("status", "seconds", "late"),
    [
        ("EARLY_STOPPED", 61, True),
        ("USER_CANCELED", 61, True),
        ("USER_CANCELED", 59, False),
        ("FAILED", 61, False),
        ("SUCCEEDED", 61, False),
    ],
)
def test_a_trial_out_of_time_was_canceled_after_the_limit(
    server: Server, manager: Manager, status: str, seconds: int, late: bool
) -> None:
    server.jobs = [job(0, "EARLY_STOPPED"), job(1, status) | {"endTime": 100 + 1000 * seconds}]
    assert not manager.out_of_time(1)
    server.time_limit = "1m"
    assert manager.out_of_time(1) is late
    assert not manager.out_of_time(0)
    # Of before a resume, which gives ids a second time.
    server.jobs.insert(0, job(1, "EARLY_STOPPED") | {"endTime": 100 + 1000 * 70, "trialJobId": "before"})
    server.jobs[-1] |= {"endTime": server.jobs[-1]["endTime"] + 1000 * 100, "startTime": 100 + 1000 * 100}
    assert manager.out_of_time(1) is late


def test_of_a_trial_that_was_canceled_warnings_are_no_reason(server: Server, manager: Manager) -> None:
    server.jobs = [job(0, "USER_CANCELED")]
    server.stderr = {"t0": "UserWarning: a warning\n"}
    assert manager.last_words() == "it was canceled"
    server.stderr = {"t0": f"{error_line('disk is full')}\nUserWarning: a warning\n"}
    assert manager.last_words() == "disk is full"


def test_there_are_no_last_words_without_a_failure_or_its_file(server: Server, manager: Manager) -> None:
    assert manager.last_words() == ""
    server.jobs = [job(0, "FAILED")]
    assert manager.last_words() == ""


def test_a_manager_that_hangs_up_is_asked_again(
    server: Server, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.experiment.manager._PAUSE", 0)
    answer, calls = Handler.do_PUT, []

    def hang_up(self: Handler) -> None:
        calls.append(self.path)
        if len(calls) == 3:
            answer(self)

    monkeypatch.setattr(Handler, "do_PUT", hang_up)
    server.jobs = [job(1, "SUCCEEDED")]
    manager.finish()
    assert (server.limit, len(calls)) == (1, 3)


def test_an_answer_that_breaks_off_is_asked_for_again(
    server: Server, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.experiment.manager._PAUSE", 0)
    answer, calls = Handler.answer, []

    def break_off(self: Handler, text: str) -> None:
        calls.append(text)
        if len(calls) in (1, 3, 4, 5):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"{")
        else:
            answer(self, text)

    monkeypatch.setattr(Handler, "answer", break_off)
    assert manager.status() == ("RUNNING", [])
    with pytest.raises(OSError, match=r"check-status: IncompleteRead"):
        manager.status()
    assert len(calls) == 5


def test_a_manager_that_is_gone_is_asked_once(
    server: Server, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    monkeypatch.setattr("nasrec_automl.experiment.manager.time.sleep", Mock(side_effect=AssertionError))
    with pytest.raises(OSError, match="refused"):
        manager.finish()


def test_does_not_ask_a_proxy(server: Server) -> None:
    code = f"from nasrec_automl.experiment.manager import Manager; print(Manager({server.url!r}).profile()['id'])"
    environment = {**os.environ, "http_proxy": "http://localhost:9", "no_proxy": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "abc\n", result.stderr
