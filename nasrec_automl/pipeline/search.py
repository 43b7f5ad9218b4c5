"""Stage `search`: architectures by the weight-sharing evaluator's scores, driven by an Optuna study."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.config_training import MOST_HANDED_ON
from nasrec_automl.config_types import in_seconds
from nasrec_automl.errors import BudgetError
from nasrec_automl.evaluation import Score
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pareto import domination_ranks
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.budget import job_budget, left_out_designs
from nasrec_automl.pipeline.candidates import retrain_study_name
from nasrec_automl.pipeline.check import check_scores, resume_mark_of_check
from nasrec_automl.pipeline.dashboard import publish
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.earlier import earlier_winner
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.handed_on import handed_on
from nasrec_automl.pipeline.outcomes import SearchOutcome, read_verdict
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.report import report_content
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.settings import search_settings
from nasrec_automl.pipeline.status import search_is_noted
from nasrec_automl.pipeline.studies import (
    hold_to_weights,
    make_study,
    scored_trials,
    search_admission,
    stage_ended,
    study_trials,
    why_no_more,
)
from nasrec_automl.search import search
from nasrec_automl.search.incumbents import distinct_best_first, incumbents
from nasrec_automl.search.samplers import make_sampler
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.verdict import Trust

_logger = logging.getLogger(__name__)


class SearchStage(Stage):
    """Scores architectures until the study has as many as the job asks for, then notes the best.

    The budget may change, as the number of architectures may: those that are scored already and inside the budget of
    today count, the others do not.
    """

    name = "search"
    parallel = True

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Finished architectures and the job's number of them."""
        target = run.job.search.architectures
        if search_is_noted(run):
            return target, target
        scored = study_trials(run, "search", (TrialState.COMPLETE,))
        # Whoever asks need not have the threads, nor the device, of those that search.
        done = sum(map(search_admission(run, measure=False), scored)) if scored else 0
        # The best are still to be noted: without them the stage is not done.
        return min(done, target - 1), target

    def resume_mark(self, run: RunFolder) -> tuple[int, int, int]:
        """Trainings of the check too: they come before the first score."""
        scored, _ = self.units(run)
        return scored, *resume_mark_of_check(run)

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The name and the search section, but for the number of architectures and the timeout, which may grow."""
        return {"name": run.job.name, **search_settings(run)}

    def warn(self, run: RunFolder) -> None:
        """Say that the sampler will have nothing to learn from, while it can be changed."""
        if not run.started(self.name) and (words := run.job.search.random_warning):
            _logger.warning("%s", words)

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        job, config = run.job, run.job.search
        space = load_search_space(job.space)
        evaluator = make_evaluator(run)
        study, budget, admits = make_study(run, "search"), job_budget(run), search_admission(run)
        hold_to_weights(run, study)
        left_out = left_out_designs(space, budget)
        designs = (design for name, design in hand_designs(space).items() if name not in left_out)
        scored = len(scored_trials(study, admits))
        progress = ProgressWriter(
            run.progress(self.name), unit="architectures", total=config.architectures, done=scored
        )
        check_scores(run, evaluator, tell=lambda what: progress.update(scored, what))
        progress.restart(len(scored_trials(study, admits)))

        def evaluate(architecture: Architecture) -> Score:
            # Of several objectives none is stopped: one that scores worse may cost less.
            most = 0 if config.several else config.early_stop
            # From the study alone: a worker that was killed finds the same rivals again.
            return evaluator.evaluate(architecture, incumbents(study, space, most, admits=admits))

        def on_trial(_: FrozenTrial) -> None:
            ended = scored_trials(study, admits)  # others may score too
            best = _best(ended)
            progress.update(len(ended), _note(best, left_out))
            on_metrics(_metrics(best))

        mine = search(
            study,
            space,
            evaluate,
            storage=study_storage(job.storage_url),
            sampler=make_sampler(config, space, budget, job.seed),
            target=config.architectures,
            count=count,
            timeout=None if config.timeout is None else in_seconds(config.timeout),
            first=[*designs, *earlier_winner(run, space)],
            budget=budget,
            objectives=config.objectives,
            seed=job.seed,
            on_trial=on_trial,
        )
        finished = scored_trials(study, admits)
        best = _best(finished)
        if stage_ended(study, finished=len(finished), target=config.architectures, mine=mine, count=count):
            if best is None:
                raise BudgetError(f"no architecture that was scored is inside the budget ({budget}): raise it")
            publish(run, lambda: report_content(run))
            _hand_on(run, finished, space)
            why = why_no_more(study, len(finished), config.architectures, config.timeout)
            parts = (_note(best, left_out), why, _what_scores_are_worth(run), _front(run, finished))
            progress.update(len(finished), ", ".join(filter(None, parts)), ended=True)
        return _metrics(best)


def _hand_on(run: RunFolder, finished: Sequence[FrozenTrial], space: SearchSpace) -> None:
    """Write down that the search has ended, and what is trained from scratch now."""
    config, before = run.job.search, SearchOutcome.read(run.top)
    winner = [dict(architecture.params) for architecture in earlier_winner(run, space)]
    top = handed_on(run, list(distinct_best_first(finished, space)), MOST_HANDED_ON)
    noted = SearchOutcome(
        target=config.architectures,
        timeout=config.timeout,
        scored=len(finished),
        budget=run.noted_budget,
        top=[dict(architecture.params) for architecture, _ in top],
        predicted=[architecture.key for architecture, origin in top if origin == "predictor"],
        # That run may be deleted or get another winner, and the candidates are to stay the same.
        earlier=(before.earlier if before is not None else []) or winner,
    )
    noted = noted.model_copy(update={"retrain": retrain_study_name(run, noted)})
    if noted != before:  # else another worker has ended the stage, and may be at the next one
        noted.write(run.top)


def _best(finished: list[FrozenTrial]) -> float | None:
    """The best log loss; None while all that was scored, such as what a user has enqueued, is over the budget."""
    return min((float(trial.values[0]) for trial in finished), default=None)


def _metrics(best: float | None) -> dict[str, float]:
    return {} if best is None else {"log_loss": best}


def _note(best: float | None, left_out: list[str]) -> str:
    parts = ([] if best is None else [f"best log loss {best:.4f}"]) + (
        [f"over the budget: {', '.join(left_out)}"] if left_out else []
    )
    return ", ".join(parts)


def _front(run: RunFolder, finished: Sequence[FrozenTrial]) -> str:
    if not run.job.search.several:
        return ""
    front = domination_ranks([trial.values for trial in finished]).count(0)
    return f"{front} on the Pareto front of {', '.join(run.job.search.objectives)}"


def _what_scores_are_worth(run: RunFolder) -> str:
    verdict = read_verdict(run)
    if verdict is None:
        return ""
    found = verdict.ranking
    if found is None:
        return "too few architectures have both a training and a score to check the scores"
    size = 0.0 if math.isnan(found.size_tau.value) else found.size_tau.value
    words = f"{found.tau_in_words} (tau of size {size:.2f})"
    return words if verdict.trust is not Trust.NONE else f"{words}: not to be trusted"
