"""What the experiment runs next: derived from run folder and study each time, so that any start goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum, auto

from nasrec_automl.errors import NasRecError
from nasrec_automl.experiment.trial_stages import Parameters, Pipeline, trial_stage
from nasrec_automl.pipeline.run_folder import RunFolder


class Pause(Enum):
    """Why there is no next trial."""

    WAIT = auto()
    DONE = auto()


class Plan:
    """Turns the state of a run into the parameters of trials.

    Memory holds only what disk cannot tell: the trials that run, what they were given, and how many failed.

    Args:
        run: the run folder.
        pipeline: the stages.
    """

    def __init__(self, *, run: RunFolder, pipeline: Pipeline) -> None:
        self._run = run
        self._pipeline = pipeline
        self._given: dict[str, int] = {}
        self._failures: Counter[str] = Counter()
        self._words: dict[str, str] = {}
        self._issued: dict[int, tuple[Parameters, int]] = {}

    @property
    def running(self) -> list[Parameters]:
        """What was issued and has not ended."""
        return [parameters for parameters, _ in self._issued.values()]

    def take(self, id_: int, others: Sequence[Parameters] = ()) -> Parameters | Pause:
        """Decide what trial `id_` does, and note that it was issued.

        Args:
            id_: of the next trial.
            others: parameters of trials that run but were not taken from this plan.

        Raises:
            NasRecError: a stage failed too often.
        """
        stage = self._pipeline.next_stage(self._run)
        if stage is None:
            return Pause.DONE
        name = trial_stage(stage.name)
        if self._failures[name] > self._run.job.experiment.retries:
            raise NasRecError(self._failure(name))
        running = [parameters for parameters in (*self.running, *others) if parameters.get("stage") == name]
        done, total = stage.units(self._run)
        parameters: Parameters = {"stage": name}
        if stage.parallel:
            count = self._share(name, done, total, running)
            if count == 0:
                return Pause.WAIT
            self._given[name] += count
            parameters["count"] = count
        elif running:
            return Pause.WAIT
        self._issued[id_] = (parameters, done)
        return parameters

    def end(self, id_: int, *, success: bool, last_words: Callable[[], str]) -> None:
        """Note that a trial ended.

        Args:
            id_: that it was issued with; others are ignored.
            success: whether it exited with 0.
            last_words: asked for the error of the trial that failed last.
        """
        parameters, done = self._issued.pop(id_, ({}, 0))
        name = parameters.get("stage")
        if name is None:
            return
        if success and self._went_on(name, done):
            self._failures[name] = 0
            return
        self._failures[name] += 1
        self._words[name] = "" if success else last_words()
        # What it was given is to be given again; a worker that finds nothing left to do ends at once.
        if name in self._given:
            self._given[name] -= parameters["count"]

    def _share(self, name: str, done: int, total: int, running: Sequence[Parameters]) -> int:
        """How many units the next trial takes; what running ones were given counts as done."""
        if not running or name not in self._given:
            self._given[name] = done + sum(parameters.get("count", 0) for parameters in running)
        left = total - self._given[name]
        if left <= 0 and running:
            return 0
        config = self._run.job.experiment
        most = config.search_trial if name == "search" else config.retrain_trial
        return max(1, min(most, left))

    def _went_on(self, name: str, done: int) -> bool:
        """Whether a trial that says so did something: one that does nothing would be issued for ever."""
        stage = self._pipeline.next_stage(self._run)
        return stage is None or trial_stage(stage.name) != name or stage.units(self._run)[0] > done

    def _failure(self, name: str) -> str:
        times = self._failures[name]
        often = "" if times == 1 else f" {times} times in a row"
        words = self._words[name] or "nothing; NNI's page has its log"
        return f"the {name} stage failed{often}; its last trial said: {words}"
