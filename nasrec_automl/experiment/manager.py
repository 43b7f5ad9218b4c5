"""The NNI manager's REST interface, as far as tuner and launcher need it.

The interface is the one that `nnictl` itself uses. `nni.experiment.Experiment` has no way to read a trial's stderr or
to change the number of trials, so the requests are made here, and nowhere else.
"""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

_TIMEOUT = 20.0
_ATTEMPTS, _PAUSE = 3, 0.5
# Without this a proxy of the environment would be asked for localhost.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

MANY_TRIALS = 10_000
"""More trials than any job has; the tuner lowers the limit when the last one is issued."""

_ACTIVE = ("WAITING", "RUNNING", "UNKNOWN")
_ANNOUNCED = "ADD_RESUMED"
_CANCELED = ("USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")
_FAILED = ("FAILED", *_CANCELED)
_MARK = "error: "


@dataclass(frozen=True, slots=True)
class TrialJob:
    """A trial as the manager lists it.

    Attributes:
        id: NNI's id of the trial.
        parameter_id: the tuner's id of its parameters.
        started: when it started, in milliseconds since the epoch; nothing while it waits.
        ended: when it ended, in milliseconds since the epoch; nothing while it is active.
        status: in NNI's words.
        parameters: what the tuner gave it.
    """

    id: str
    parameter_id: int | None
    started: int | None
    ended: int | None
    status: str
    parameters: dict[str, Any]

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.status in _ACTIVE

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.status in _FAILED

    def canceled_after(self, seconds: float) -> bool:
        """Whether it ran so long and was canceled then.

        NNI has a status for trials out of time, EARLY_STOPPED, but calls many of them USER_CANCELED all the same.
        """
        if self.status not in _CANCELED or self.started is None or self.ended is None:
            return False
        return self.ended - self.started >= 1000 * seconds


@dataclass(frozen=True, slots=True)
class Manager:
    """A running NNI manager.

    Attributes:
        url: of its web page, such as `http://localhost:8080`.
    """

    url: str

    @classmethod
    def of_channel(cls, channel: str) -> Manager:
        """The manager behind a tuner's command channel, such as `ws://localhost:8080/tuner`."""
        return cls("http" + channel.removeprefix("ws").removesuffix("/tuner"))

    def status(self) -> tuple[str, list[str]]:
        """The experiment's status and errors.

        Raises:
            OSError: no manager answers.
        """
        content = self._get("check-status")
        return content["status"], [str(error) for error in content["errors"]]

    def profile(self) -> dict[str, Any]:
        """The experiment's `id`, and its configuration as `params`."""
        return dict(self._get("experiment"))

    def trials(self) -> list[TrialJob]:
        """Every trial that was submitted, in the order in which they ended; those that have not come last.

        After a resume NNI gives the numbers on its page a second time, so they are no order.
        """
        jobs = [_trial(content) for content in self._get("trial-jobs")]
        return sorted(jobs, key=lambda job: math.inf if job.ended is None else job.ended)

    def out_of_time(self, parameter_id: int) -> bool:
        """Whether a trial, by the tuner's id of its parameters, was canceled by the experiment's `maxTrialDuration`."""
        limit = self.profile()["params"].get("maxTrialDuration")
        if limit is None:
            return False
        # Imported late: the command line needs this module where NNI is not to be loaded.
        from nni.experiment.config.utils import parse_time

        seconds = parse_time(limit)
        # After a resume NNI may give an id a second time: the trial that ended last is meant.
        of_this_id = [job for job in self.trials() if job.parameter_id == parameter_id and not job.active]
        return bool(of_this_id) and of_this_id[-1].canceled_after(seconds)

    def last_words(self) -> str:
        """The error of the trial that failed last; empty when it left none."""
        failed = [job for job in self.trials() if job.failed]
        if not failed:
            return ""
        lines = [line.strip() for line in self.stderr(failed[-1].id).splitlines() if line.strip()]
        marked = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
        if not marked and failed[-1].status in _CANCELED:
            return "it was canceled"  # what else stands there are warnings
        return (marked or lines or [""])[-1]

    def stderr(self, trial: str) -> str:
        """What a trial wrote to stderr so far; empty where it cannot be read."""
        try:
            text = self._read("GET", f"trial-file/{trial}/stderr")
        except OSError:
            return ""
        # NNI's own words for an empty file.
        return "" if text.strip() == "stderr is empty." else text

    def limit_trials(self, number: int) -> None:
        """Set how many trials the experiment has, as `nnictl update trialnum` does."""
        profile = self.profile()
        profile["params"]["maxTrialNumber"] = number
        self._read("PUT", "experiment?update_type=MAX_TRIAL_NUM", profile)

    def make_room(self) -> None:
        """Let an experiment that had ended take trials again."""
        limit = self.profile()["params"].get("maxTrialNumber")
        if limit is not None and limit <= len(self.trials()):
            self.limit_trials(MANY_TRIALS)

    def finish(self) -> None:
        """Let the experiment end: NNI calls it DONE when as many trials as its limit were submitted and have ended.

        Those that a resume announces alone do not count: NNI runs one whose machine it no longer knows under a new id,
        and lists the old one for ever.
        """
        self.limit_trials(sum(trial.status != _ANNOUNCED for trial in self.trials()))

    def _get(self, path: str) -> Any:
        return json.loads(self._read("GET", path))

    def _read(self, method: str, path: str, body: Any = None) -> str:
        request = urllib.request.Request(
            f"{self.url}/api/v1/nni/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        for attempt in range(_ATTEMPTS):
            try:
                return _answer(request)
            except OSError as error:
                # A busy manager answers late, with an error of its own, or hangs up; one that is gone refuses at once.
                if attempt == _ATTEMPTS - 1 or isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                    raise
                time.sleep(_PAUSE)
        raise AssertionError("the last attempt returns or raises")


def _answer(request: urllib.request.Request) -> str:
    """What a server answers.

    Raises:
        OSError: nothing, or not all of it.
    """
    try:
        with _opener.open(request, timeout=_TIMEOUT) as response:
            return bytes(response.read()).decode("utf-8", errors="replace")
    except HTTPException as error:
        raise ConnectionError(f"{request.full_url}: {error!r}") from error


def error_line(sentence: str) -> str:
    """A sentence as a trial prints it, so that `last_words` finds it among warnings."""
    return _MARK + sentence


def _trial(content: dict[str, Any]) -> TrialJob:
    packed = json.loads((content.get("hyperParameters") or ["{}"])[0])
    parameters = packed.get("parameters")
    return TrialJob(
        id=content["trialJobId"],
        parameter_id=packed.get("parameter_id"),
        started=content.get("startTime"),
        ended=content.get("endTime"),
        status=content["status"],
        parameters=parameters if isinstance(parameters, dict) else {},
    )
