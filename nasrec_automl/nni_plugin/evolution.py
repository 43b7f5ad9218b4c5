"""A multi-trial strategy for NNI that keeps its state in an Optuna study in a SQL database."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import StudyError
from nasrec_automl.heartbeat import heartbeat
from nasrec_automl.nni_plugin.evolution_space import searched_space, shared_weights
from nasrec_automl.nni_plugin.filters import Filter, budget_of, make_filter
from nasrec_automl.nni_plugin.nas import ModelEventType, ModelStatus, Strategy
from nasrec_automl.search import RegularizedEvolutionSampler, WorkerOptions, open_storage, open_study
from nasrec_automl.search.attributes import ERROR, INTERRUPTED, STALE
from nasrec_automl.search.database import database_errors, shown_url
from nasrec_automl.search.incumbents import best_first
from nasrec_automl.search.ledger import Ledger, lost_where_it_fails
from nasrec_automl.search.mutation import generations_of
from nasrec_automl.search.scoring import ArchitectureSource
from nasrec_automl.search.stale import worker_id
from nasrec_automl.search.task import TrialOutcome, key_of
from nasrec_automl.search.worker import Worker

_logger = logging.getLogger(__name__)

_LATE = 5.0
"""Seconds that NNI's last events may take after it says that all models have ended."""

_MOST_FAILED = 16
"""So many without a result in a row are the evaluator's fault, and end the experiment: architectures, or, while the
study has no result at all, models, for an architecture is tried several times."""

_GENERATIONS = 240
"""G where the number of trials is open (arXiv 2207.07187)."""


class OptunaEvolution(Strategy):
    """Regularised evolution as an NNI multi-trial strategy; its state is an Optuna study in a SQL database.

    It runs models of a `NasRecSpace` in NNI's training-service engine, as many at once as the experiment's
    `trial_concurrency`, or those of a trained supernet (`strategy.supernet`) in this process. Several experiments, on
    several machines, may share one study. A killed experiment goes on where the study is, by `resume` or by a new
    experiment with the same study: models that ran are tried again, finished ones are not. Scores of a supernet are
    held to its weights: with other ones, such as those of another training, the study is refused.

    Models report, as NNI's strategies want it, the *negative* log loss (`default` of a dict, as `ClickEvaluatorModule`
    does); the study minimises the log loss. A model without a result is a failed trial with its reason. After 16
    architectures in a row without one (or 16 models at first, or where no model has one) the experiment ends with that
    reason.

    Args:
        storage: SQLAlchemy URL of the study's database, such as `sqlite:////folder/studies.db`.
        study: the study's name.
        trials: finished trials that the study is to have; None to go on while the experiment has a budget. After a
            kill NNI counts its own budget anew, so that this is the number to rely on.
        identity: what scores depend on beside space, features and a supernet's weights, such as the data; another
            experiment on the same study must give the same.
        first: architectures that come before evolution's own, such as `hand_designs(space).values()`.
        filter: which models are allowed, in the form of NNI's RandomOneShot: a function of a sample, such as a
            `RangeProfilerFilter`, a dict of its arguments, or a `nasrec_automl.budget.Budget`. No other model is
            proposed; trials of the study that an earlier filter let through do not count.
        population_size: how many trials are alive; also the number of random ones at the start.
        tournament_size: how many of them compete to be a parent; by default half of them.
        children: how many children the winner has.
        seed: all randomness derives from it and from the study.

    Raises:
        StudyError: `trials` or a size is out of its range, `storage` is no URL, or (when it runs) the database cannot
            be used, the study is about something else, or models end without a result.
        JobError: `filter` is not a filter.
        TypeError, ValueError: a dict is not of `RangeProfilerFilter`'s arguments, as NNI says.
    """

    def __init__(
        self,
        *,
        storage: str,
        study: str = "nasrec-nni",
        trials: int | None = None,
        identity: Mapping[str, str] | None = None,
        first: Sequence[Architecture] = (),
        filter: Filter = None,  # noqa: A002  NNI's own name
        population_size: int = 128,
        tournament_size: int | None = None,
        children: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if trials is not None and trials < 1:
            raise StudyError(f"trials must be at least 1, but it is {trials}")
        if not isinstance(storage, str):
            raise StudyError(
                f"storage must be a SQLAlchemy URL, such as sqlite:////folder/studies.db, but it is a "
                f"{type(storage).__name__}: NNI writes a strategy's arguments down"
            )
        self._url = storage
        self._study_name = study
        self._trials = trials
        self._identity = dict(identity or {})
        self._first = tuple(first)
        self._filter = make_filter(filter)
        self._evolution: dict[str, Any] = {
            "population_size": population_size,
            "tournament_size": tournament_size,
            "children": children,
            "generations": _generations(trials, population_size, children),
            "seed": seed,
        }
        self._options = WorkerOptions()
        RegularizedEvolutionSampler(**self._evolution)  # says now what is out of its range
        # By the architecture's key: models that run, metrics of those that were measured, and status of those whose
        # process has ended without a metric.
        self._running: dict[str, tuple[Any, FrozenTrial]] = {}
        self._measured: dict[str, Any] = {}
        self._ended: dict[str, Any] = {}
        self._most = 1  # processes at once, so far
        self._failed: list[str] = []  # keys of models without a result since the last one that had one
        self._reason = ""  # of the last of them
        self._has_result = False  # the study has one
        self._is_warned = False
        self._alive: list[Any] = []  # a metric that comes late is told only of a model that somebody holds
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._worker_of_space: Worker | None = None  # once NNI has said what the space is

    def extra_repr(self) -> str:
        """Arguments, for NNI's logs; no password among them."""
        shown = {"storage": shown_url(self._url), "study": self._study_name, "trials": self._trials}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    # NNI's life cycle: `initialize` once, `load_state_dict` where an experiment is resumed, `run` once.

    def _initialize(self, model_space: Any, engine: Any) -> Any:
        model, searched = searched_space(model_space)
        space, schema = searched.search_space, searched.schema
        budget = budget_of(self._filter, schema, layer_norm=searched.options.layer_norm)
        storage = open_storage(self._url)
        study = open_study(
            storage,
            name=self._study_name,
            identity={
                **self._identity,
                "stage": "nni",
                "space": space.name,
                "choices": key_of(space.labels),
                "features": key_of(schema.model_dump(mode="json", exclude_defaults=True)),
                "weights": shared_weights(model, searched.options),
            },
        )
        study.sampler = RegularizedEvolutionSampler(space=space, budget=budget, **self._evolution)
        self._worker_of_space = Worker(
            ArchitectureSource(study, space, self._first, budget=budget, seed=self._evolution["seed"]),
            Ledger(study, storage),
            sys.maxsize if self._trials is None else self._trials,
            self._options,
        )
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_end)
        return model_space

    def _run(self) -> None:
        with database_errors(self._worker.ledger.storage):
            self._has_result = self._worker.census().done > 0
            try:
                with heartbeat(self._show_alive):
                    while self._error is None and self._wait_for_worker():
                        if not self._submit_next():
                            break
                    self.engine.wait_models()
                    self._wait_for_events()
            finally:
                self._give_up_running()
            if self._error is not None:
                raise self._error
            if self._failed and not self._has_result:
                raise self._without_results(f"{len(self._failed)} models have run, and none has a result")

    @property
    def _worker(self) -> Worker:
        if self._worker_of_space is None:
            raise StudyError(
                "OptunaEvolution has not been run: an experiment that is viewed, or still to run, has no models to "
                f"give; run or resume it, or read its study {self._study_name!r} with optuna.load_study"
            )
        return self._worker_of_space

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_end)

    def state_dict(self) -> dict[str, str]:
        """The name of the study, as a note: the study is the state."""
        return {"study": self._study_name}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Do nothing: the study is the state."""

    def list_models(self, sort: bool = True, limit: int | None = None) -> Iterator[Any]:
        """Finished models of the study, whichever process ran them; `export_top_models` calls it.

        Args:
            sort: the best first; otherwise as they were begun.
            limit: how many at most.

        Raises:
            StudyError: the strategy has not been run.
        """
        study = self._worker.ledger.study
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        trials = [trial for trial in done if self._worker.source.admits(trial)]
        for trial in (best_first(trials) if sort else trials)[:limit]:
            model = self.model_space.freeze(self._sample(trial))
            model.metrics.final = -trial.values[0]
            model.status = ModelStatus.Trained
            yield model

    # One model.

    def _submit_next(self) -> bool:
        """Submit a model, or wait for those that run; False if there is nothing left to run."""
        census = self._worker.census()
        start = self._worker.next_start(census)
        if start is None:
            if census.done >= self._worker.target or not census.running:
                return False
            time.sleep(self._options.poll)
            return True
        me = worker_id()
        # This process may live on, as in a notebook, and a trial whose model was not made must not seem to.
        with lost_where_it_fails(me):
            trial = start(me)
            if trial is None:
                return True
            model = self.model_space.freeze(self._sample(trial))
            with self._lock:
                self._running[self._key(model)] = model, trial
                self._most = max(self._most, len(self._running) - len(self._ended))
        self.engine.submit_models(model)
        return True

    def _show_alive(self) -> None:
        """Write that the trials whose models run are alive: other machines cannot look this process up."""
        with self._lock:
            trials = [trial for _, trial in self._running.values()]
        for trial in trials:
            with suppress(UpdateFinishedTrialError):  # it has just ended; the others have not
                self._worker.ledger.show_alive(trial)

    def _wait_for_worker(self) -> bool:
        """Wait until the engine takes another model; False if its budget is used up, or after an error."""
        while not self.engine.idle_worker_available():
            if not self.engine.budget_available() or self._error is not None:
                return False
            time.sleep(self._options.poll)
        budget: bool = self.engine.budget_available()
        return budget

    # NNI's training service gives a model to whichever process asks first, and says of the process that was started for
    # it that it has ended. So a model may be measured after its end was told, and a process that dies before it asks
    # leaves its model to the next one. Everything goes by the architecture, which runs once at a time. The engine calls
    # from a thread of its own where models run elsewhere.

    def _on_metric(self, event: Any) -> None:
        """Keep a model's metric until the model ends; if its end was told before, write how it ended."""
        key, metric = self._key(event.model), event.metric
        with self._lock:
            if key not in self._running:
                return
            self._measured[key] = metric.get("default") if isinstance(metric, dict) else metric
            if self._ended.pop(key, None) is not None:
                self._settle(key, ModelStatus.Trained)

    def _on_end(self, event: Any) -> None:
        """Write how a model ended, if it was measured or nobody is left to measure it."""
        key = self._key(event.model)
        with self._lock:
            if key not in self._running:
                return
            if key in self._measured or event.status == ModelStatus.Interrupted:
                self._settle(key, event.status)
            else:
                self._ended[key] = event.status
            self._settle_lost()

    def _settle_lost(self) -> None:
        """Write the end of models that no process is left to measure, in the order in which they ended."""
        while self._ended and (len(self._ended) == len(self._running) or len(self._ended) > self._most):
            key = next(iter(self._ended))
            self._alive.append(self._running[key][0])
            self._settle(key, self._ended.pop(key))

    def _settle(self, key: str, status: Any) -> None:
        """Write the end of a model that no longer runs.

        The caller holds the lock, so that `_give_up_running` waits until every measured model is written.
        """
        _, trial = self._running.pop(key)
        try:
            self._write(key, trial, self._measured.pop(key, None), status)
        except Exception as error:  # an error in the engine's thread would be lost, and the strategy would hang
            self._error = error

    def _key(self, model: Any) -> str:
        key = self._worker.source.key(model.sample)
        assert key is not None
        return key

    def _write(self, key: str, trial: FrozenTrial, metric: Any, status: Any) -> None:
        ledger = self._worker.ledger
        if status == ModelStatus.Interrupted:
            ledger.fail(trial, INTERRUPTED, "the experiment was interrupted while its model ran")
            return
        if failure := _failure(metric, status):
            kind, self._reason = failure
            ledger.fail(trial, kind, self._reason)
            self._failed.append(key)
            failed = len({*self._failed}) if self._has_result else len(self._failed)
            if failed >= max(_MOST_FAILED, 2 * self._most):  # an outage ends all that run at once
                what = "architectures" if self._has_result else "models"
                raise self._without_results(f"{failed} {what} in a row have no result")
            return
        self._failed.clear()
        self._has_result = True
        if metric > 0 and not self._is_warned:
            self._is_warned = True
            _logger.warning(
                "a model reported the final result %s, above 0, as no negative log loss is: NNI maximises, so report a "
                "log loss with a minus sign",
                metric,
            )
        # NNI maximises, the study minimises: here the sign changes, and back in `list_models`.
        log_loss = -float(metric)
        if not ledger.finish(trial, TrialOutcome(value=log_loss)):
            _logger.warning(
                "the result %s of trial %d is lost: another process had ended the trial, such as a machine that "
                "had not heard of this one for %g seconds",
                log_loss,
                trial.number,
                self._options.lost_after,
            )

    def _without_results(self, what: str) -> StudyError:
        return StudyError(
            f"{what}; the last trial of the study {self._study_name!r} says: {self._reason}. Mend what evaluates the "
            "models, and run the experiment again (with another `study`, those that failed are tried again too)"
        )

    def _wait_for_events(self) -> None:
        late = time.monotonic() + _LATE
        while self._running and time.monotonic() < late:
            time.sleep(self._options.poll)

    def _give_up_running(self) -> None:
        """Write the models that were measured, and fail the others that still run: the next experiment tries them."""
        with self._lock:
            for key in [*self._measured]:
                self._settle(key, ModelStatus.Trained)
            left, self._running = list(self._running.values()), {}
            self._ended.clear()
        for _, trial in left:
            self._worker.ledger.fail(trial, INTERRUPTED, "the experiment ended before its model did")

    def _sample(self, trial: FrozenTrial) -> dict[str, Any]:
        return {label: trial.params[label] for label in self._worker.source.distributions}


def _generations(trials: int | None, population_size: int, children: int) -> int:
    if trials is None or children < 1:
        return _GENERATIONS
    return generations_of(trials, population_size, children)


def _failure(metric: Any, status: Any) -> tuple[str, str] | None:
    """Kind and reason of a model's end without a result; None where it has one."""
    if status != ModelStatus.Trained:
        return ERROR, f"NNI's model ended as {status.value}: the log of its trial, or of the experiment, says why"
    if metric is None:
        return STALE, "the evaluator ended without a final result (nni.report_final_result)"
    if isinstance(metric, bool) or not isinstance(metric, int | float) or not math.isfinite(metric):
        return (
            ERROR,
            f"the model reported the final result {metric!r}: expected the negative log loss, a finite number, by "
            "nni.report_final_result",
        )
    return None
