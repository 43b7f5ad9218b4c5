"""The search's objective, for anybody's Optuna study."""

from __future__ import annotations

import math
import shlex
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from pydantic import ValidationError

from nasrec_automl.config import SearchConfig
from nasrec_automl.errors import CheckpointError, JobError
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.search.admission import violations
from nasrec_automl.search.attributes import KEY, PREFIX, REASON
from nasrec_automl.search.distributions import distributions, suggest
from nasrec_automl.search.scoring import score_attrs, unscored_reason
from nasrec_automl.space import load_search_space
from nasrec_automl.yaml_files import first_complaint


def objective(
    run_folder: str | Path, objectives: Sequence[str] | str | None = None
) -> Callable[[optuna.Trial], float | tuple[float, ...]]:
    """An objective over the trained supernet of a run: suggests an architecture, returns its log loss to minimise.

    It suggests the labels of the run's space as the search stage does, so that it also serves the run's own
    study, scores on the same rows with the same head, and sets the same user attributes (`nasrec:key`,
    `nasrec:auc`, `nasrec:macs`, ...). It reads all rows of every architecture, prunes nothing but what has no finite
    score, and only reads the run folder, in which it notes nothing but latencies. Threads (`n_jobs`) share one
    supernet; pickled, it goes to other processes, each of which loads its own.

    Args:
        run_folder: of a job whose supernet stage is done.
        objectives: what is returned: `log_loss` first, then any of `macs`, `parameters` and `latency_ms` (measured
            as the job's budget says), or one name alone; the job's own by default.

    Returns:
        What `study.optimize` takes: it returns a number, or a tuple where there are several objectives.

    Raises:
        RunFolderError: it is no run folder.
        JobError: the objectives are none; when first called, that the study maximises one, or has another number.
        CheckpointError: its supernet is not trained yet; when first called, that it is not of the job's space
            and data.
    """
    run = RunFolder.open(run_folder)
    if not run.weights.is_file():
        raise CheckpointError(
            f"{run.path}: the supernet is not trained yet (no {run.weights.name}); run "
            f"`nasrec-automl run {shlex.quote(str(run.path))} --until supernet`"
        )
    if isinstance(objectives, str):
        objectives = (objectives,)
    return _Objective(run if objectives is None else _with_objectives(run, objectives))


def _with_objectives(run: RunFolder, objectives: Sequence[str]) -> RunFolder:
    """The run, as if its job had these objectives."""
    section = run.job.search.model_dump(exclude={"sampler", "population", "tournament"})
    try:
        config = SearchConfig.model_validate({**section, "objectives": tuple(objectives)})
    except ValidationError as error:
        raise JobError(first_complaint(error)) from None
    return RunFolder(run.job.model_copy(update={"search": config}))


class _Objective:
    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._evaluator: WeightSharingEvaluator | None = None
        self._written: int | None = None
        self._loading = threading.Lock()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path, Sequence[str]]]:
        """Pickled as folder and objectives: classes that pydantic makes for a job's generic fields cannot be."""
        return objective, (self.run.path, self.run.job.search.objectives)

    def __repr__(self) -> str:
        return f"objective({str(self.run.path)!r})"

    def _loaded(self) -> WeightSharingEvaluator:
        """The evaluator, which threads share; loaded again where the supernet was trained again."""
        with self._loading:
            written = self.run.weights.stat().st_mtime_ns
            if self._evaluator is None or written != self._written:
                self._evaluator, self._written = make_evaluator(self.run), written
            return self._evaluator

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        study = getattr(trial, "study", None)  # Optuna's FixedTrial has none
        if study is not None and StudyDirection.MAXIMIZE in study.directions:
            raise JobError(
                f"the study {study.study_name!r} maximises, and what this objective returns is to be minimised: "
                'create it with "minimize" as its direction, or each of its directions'
            )
        wanted = self.run.job.search.objectives
        if study is not None and len(study.directions) != len(wanted):
            raise JobError(
                f"directions of the study {study.study_name!r}: expected {len(wanted)} ({', '.join(wanted)}), got "
                f"{len(study.directions)}; create it with as many as the objective returns, or pass other `objectives`"
            )
        space = load_search_space(self.run.job.space)
        # First: until a trial of this process has parameters, a search may take it for one that it is to run.
        params = {name: suggest(trial, name, choices) for name, choices in distributions(space).items()}
        architecture = space.from_params(params)
        evaluator = self._loaded()
        trial.set_user_attr(KEY, architecture.key)
        score = evaluator.evaluate(architecture)
        if not math.isfinite(score.log_loss):
            reason = unscored_reason(architecture, score.log_loss)
            trial.set_user_attr(REASON, reason)
            raise optuna.TrialPruned(reason)  # as the search has it: a failed one would be unknown to TPE
        budget = job_budget(self.run)
        costs = budget.costs(architecture)
        for name, value in {**costs, **score_attrs(score)}.items():
            trial.set_user_attr(f"{PREFIX}{name}", value)
        for name, excess in violations(budget, architecture).items():  # without them Optuna takes it for feasible
            trial.set_constraint(name, excess)
        further = tuple(costs[name] for name in wanted[1:])
        return (score.log_loss, *further) if further else score.log_loss
