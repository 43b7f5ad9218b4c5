"""The tuner behind `nnictl create`: it issues the stages of a job as trials of an NNI experiment."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni.tuner import Tuner

from nasrec_automl.config import load_job
from nasrec_automl.errors import JobError, NasRecError
from nasrec_automl.experiment.manager import Manager
from nasrec_automl.experiment.note import ExperimentNote
from nasrec_automl.experiment.plan import Pause, Plan
from nasrec_automl.experiment.trial_stages import Parameters, load_stages, next_stage
from nasrec_automl.experiment.watch import watch_manager
from nasrec_automl.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from nasrec_automl.pipeline.base import Stage

_logger = logging.getLogger(__name__)


class StageTuner(Tuner):
    """Issues supernet, search, retrain and final trials, in this order, and ends the experiment after them.

    NNI's dispatcher makes one from `experiment.yml` and calls it from two threads: requests and results from one, ends
    of trials from the other. An exception would kill the dispatcher and can leave the experiment hanging, so nothing
    here raises: what goes wrong becomes a trial that carries the sentence, prints it and fails.

    Args:
        job: path of the job file, relative to the experiment's `trialCodeDirectory`. It is read once: trials are given
            the run folder.
        optimize_mode: `minimize`, the only direction there is; NNI's page sorts by it.
        unknown: arguments that do not exist; named in the error.
    """

    def __init__(self, *, job: str = "", optimize_mode: str = "minimize", **unknown: Any) -> None:
        super().__init__()
        self._job = job
        self._complaint = _complaint(job, optimize_mode, unknown)
        self._manager = self._connect()
        self._mutex = threading.Lock()
        self._ownership = ExitStack()
        self._run: RunFolder | None = None
        self._plan: Plan | None = None
        self._send: Callable[[int, Parameters], None] = lambda id_, parameters: None
        self._held: list[int] = []
        self._last: int | None = None
        self._over = False

    def update_search_space(self, search_space: Any) -> None:
        """The job says what is searched; the experiment's search space is not read."""

    def generate_multiple_parameters(self, parameter_id_list: list[int], **kwargs: Any) -> list[Parameters]:
        """Issue what can run now; hold the other ids back for later, as NNI's PBT tuner does."""
        with self._mutex:
            self._send = kwargs.get("st_callback", self._send)
            issued: list[Parameters] = []
            for id_ in parameter_id_list:
                parameters = self._take(id_)
                if parameters is None:
                    break
                issued.append(parameters)
            self._held.extend(parameter_id_list[len(issued) :])
            return issued

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        """The study has the results; NNI can pass the parameters of another trial here."""

    def trial_end(self, parameter_id: int | None, success: bool, **kwargs: Any) -> None:
        """Issue what waited for this trial. One that a user has made on NNI's page has no id, and says nothing."""
        if parameter_id is None:
            return
        with self._mutex:
            try:
                if self._plan is not None:
                    self._plan.end(
                        parameter_id,
                        success=success,
                        out_of_time=partial(self._manager.out_of_time, parameter_id),
                        last_words=self._manager.last_words,
                    )
            except Exception:
                # What it could not read now, the next decision reads, or ends the experiment with the reason.
                _logger.exception("The end of trial %s was not looked into", parameter_id)
            if parameter_id == self._last:
                self._over = True
                self._end()
            while self._held and (parameters := self._take(self._held[0])) is not None:
                self._send(self._held.pop(0), parameters)

    def _take(self, id_: int) -> Parameters | None:
        """The next trial's parameters; nothing while there is none, and after the last."""
        if self._last is not None:
            if self._over:
                self._end()
            return None
        try:
            decision = self._decide(id_)
        except Exception as error:
            # What runs is left to end: the last trial of a failed experiment is the one that says why.
            if self._plan is not None and self._plan.running:
                return None
            _logger.exception("The experiment ends with an error")
            self._last = id_
            decision = {"stage": "none", "error": _sentence(error)}
            with suppress(OSError):
                self._manager.make_room()
        return None if isinstance(decision, Pause) else decision

    def _decide(self, id_: int) -> Parameters | Pause:
        if self._complaint:
            raise JobError(self._complaint)
        plan = self._open()
        decision = plan.take(id_)
        if decision is Pause.DONE and not self._ended_without_a_trial():
            # This one finds everything done, and shows the result on NNI's page.
            self._last = id_
            decision = {"stage": "final"}
        return decision if isinstance(decision, Pause) else {"run_folder": str(plan.run.path), **decision}

    def _open(self) -> Plan:
        if self._plan is None:
            stages = self._stages()
            run = self._begin(stages) if self._run is None else self._run
            if self._run is not None:  # it had ended, and left the folder to others
                self._ownership.enter_context(run.lock())
            self._run, self._plan = run, Plan(run, stages)
        return self._plan

    def _begin(self, stages: Mapping[str, Stage]) -> RunFolder:
        """Read the job, and own its folder."""
        profile = self._manager.profile()
        run = RunFolder(load_job(Path(profile["params"]["trialCodeDirectory"]) / self._job))
        self._ownership.enter_context(run.lock())
        # Before anything is noted: a job that is refused leaves the folder as it is.
        for stage in stages.values():
            stage.check(run)
        for stage in stages.values():
            stage.warn(run)
        run.create()
        ExperimentNote(id=profile["id"], url=self._manager.url).write(run)
        following = next_stage(run, stages)
        for stage in takewhile(lambda stage: stage is not following, stages.values()):
            stage.tidy(run)  # it is done, and its last trial may have been killed before it could
        if following is not None:
            # The limit of a resumed experiment may be what its end had lowered it to.
            self._manager.make_room()
        return run

    def _ended_without_a_trial(self) -> bool:
        """Finish where nothing is left; False where NNI wants a trial first, or its manager does not answer."""
        try:
            if not self._manager.trials():
                return False
            self._finish()
        except OSError:
            _logger.exception("The experiment cannot be ended yet")
            return False
        return True

    def _end(self) -> None:
        """Finish after the last trial. Where the manager does not answer, NNI's next request is another occasion."""
        try:
            self._finish()
        except Exception:
            _logger.exception("The experiment cannot be ended yet")
        else:
            self._over = False

    def _finish(self) -> None:
        self._manager.finish()
        # The manager lives on for its page; the folder is free for others, and a further trial asks for it again.
        self._plan = None
        self._ownership.close()

    def _stages(self) -> Mapping[str, Stage]:
        return load_stages()

    def _connect(self) -> Manager:
        # Set by NNI's manager for the tuner's process; part of the protocol between the two.
        channel = os.environ.get("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8080/tuner")
        if os.environ.get("SDK_PROCESS") == "dispatcher":
            watch_manager()
        return Manager.of_channel(channel)


def _complaint(job: str, optimize_mode: str, unknown: dict[str, Any]) -> str:
    if unknown:
        names = ", ".join(unknown)
        return f"tuner.classArgs: no such argument: {names}; there are `job` and `optimize_mode`"
    if not job or not isinstance(job, str):
        return f"tuner.classArgs.job: expected the path of a job file, but it is {job!r}"
    if optimize_mode != "minimize":
        return f"tuner.classArgs.optimize_mode: expected `minimize` (log loss), but it is {optimize_mode!r}"
    return ""


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, NasRecError) else f"{type(error).__name__}: {error}"
