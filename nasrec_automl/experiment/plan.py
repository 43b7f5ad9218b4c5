"""What the experiment runs next: derived from run folder and study each time, so that any start goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from nasrec_automl.errors import NasRecError
from nasrec_automl.experiment.trial_stages import Parameters, next_stage, trial_stage
from nasrec_automl.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from nasrec_automl.pipeline.base import Stage

_OUT_OF_TIME = (
    "ran into the limit of the experiment (maxTrialDuration) before it left anything to go on with; raise "
    "experiment.max_trial_duration in the job, write the file again with `nasrec-automl experiment`, and start it: "
    "what is done is kept"
)


class Pause(Enum):
    """Why there is no next trial."""

    WAIT = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True)
class _Issued:
    """A trial that was issued and has not ended.

    Attributes:
        parameters: what it does.
        mark: the stage and what a later start of it would have gone on with, when it was issued.
        failures: of its stage in a row, when it was issued.
    """

    parameters: Parameters
    mark: tuple[str, tuple[int, ...]]
    failures: int


class Plan:
    """Turns the state of a run into the parameters of trials.

    Memory holds only what disk cannot tell: the trials that run, what they were given, and how many failed. Trials
    that NNI runs again in a resumed experiment are not among them. So a stage that has one trial at a time may get a
    second one, which waits and finds all done, and workers of a parallel one may find less left than they were given.

    Args:
        run: the run folder.
        stages: in their order.
    """

    def __init__(self, run: RunFolder, stages: Mapping[str, Stage]) -> None:
        self.run = run
        self._stages = stages
        self._given: dict[str, int] = {}
        self._failures: Counter[str] = Counter()
        self._words: dict[str, str] = {}
        self._issued: dict[int, _Issued] = {}

    @property
    def running(self) -> list[Parameters]:
        """What was issued and has not ended."""
        return [issued.parameters for issued in self._issued.values()]

    def take(self, id_: int) -> Parameters | Pause:
        """Decide what trial `id_` does, and note that it was issued.

        Raises:
            NasRecError: a stage failed too often.
        """
        stage = next_stage(self.run, self._stages)
        if stage is None:
            return Pause.DONE
        name = trial_stage(stage.name)
        if self._failures[name] > self.run.job.experiment.retries:
            raise NasRecError(self._failure(name))
        running = [parameters for parameters in self.running if parameters.get("stage") == name]
        done, total = stage.units(self.run)
        parameters: Parameters = {"stage": name}
        if stage.parallel:
            count = self._share(name, done, total, running)
            if count == 0:
                return Pause.WAIT
            self._given[name] += count
            parameters["count"] = count
        elif running:
            return Pause.WAIT
        self._issued[id_] = _Issued(parameters, (stage.name, stage.resume_mark(self.run)), self._failures[name])
        return parameters

    def end(self, id_: int, *, success: bool, out_of_time: Callable[[], bool], last_words: Callable[[], str]) -> None:
        """Note that a trial ended.

        Args:
            id_: that it was issued with; others are ignored.
            success: whether it exited with 0.
            out_of_time: asked of one that did not: whether NNI ended it because it ran too long.
            last_words: asked for the error of the trial that failed last.
        """
        if id_ not in self._issued:
            return
        issued = self._issued.pop(id_)
        parameters, name = issued.parameters, issued.parameters["stage"]
        went_on = self._resume_mark() != issued.mark
        late = not success and out_of_time()
        if name in self._given and not (success and went_on):
            # What it was given is to be given again; a worker that finds nothing left to do ends at once.
            self._given[name] -= parameters["count"]
        if went_on and (success or late):
            self._failures[name] = 0
            return
        # One that did nothing failed, whatever it says of itself: it would be issued for ever. Of those that ran side
        # by side one counts: what ends them all, such as a database that is down, is one failure.
        self._failures[name] = max(self._failures[name], issued.failures + 1)
        self._words[name] = _OUT_OF_TIME if late else _said("")  # its words may not be read
        if not late and not success:
            self._words[name] = _said(last_words())

    def _share(self, name: str, done: int, total: int, running: Sequence[Parameters]) -> int:
        """How many units the next trial takes; what running ones were given counts as done."""
        if not running or name not in self._given:
            self._given[name] = done + sum(parameters.get("count", 0) for parameters in running)
        left = total - self._given[name]
        if left <= 0 and running:
            return 0
        config = self.run.job.experiment
        most = config.search_trial if name == "search" else config.retrain_trial
        return max(1, min(most, left))

    def _resume_mark(self) -> tuple[str, tuple[int, ...]] | None:
        """The first stage that is not done, and what a later start of it goes on with."""
        stage = next_stage(self.run, self._stages)
        return None if stage is None else (stage.name, stage.resume_mark(self.run))

    def _failure(self, name: str) -> str:
        times = self._failures[name]
        often = "" if times == 1 else f" {times} times in a row"
        return f"the {name} stage failed{often}; its last trial {self._words[name]}"


def _said(words: str) -> str:
    return "said: " + (words or "nothing; NNI's page has its log")
