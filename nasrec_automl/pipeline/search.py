"""Stage `search`: evolution over the weight-sharing evaluator, driven by an Optuna study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import Job
from nasrec_automl.cost import profile
from nasrec_automl.data.dataset import Part, PreparedData
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.base import Report, Stage
from nasrec_automl.pipeline.dashboard import publish
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.report import report_content
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import search_study, stage_ended, study_storage
from nasrec_automl.search import Finished, RegularizedEvolutionSampler, search
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.search.incumbents import incumbents, ranked
from nasrec_automl.space import load_search_space

_NOTED = 256
"""Best architectures that are noted; `retrain.top_k` takes the first of them."""


class SearchStage(Stage):
    """Scores architectures until the study has as many as the job asks for, then notes the best."""

    name = "search"
    parallel = True

    def units(self, run: RunFolder) -> tuple[int, int]:
        """Finished architectures and the job's number of them."""
        target = run.job.search.architectures
        noted = read_json(run.top)
        if noted is not None and noted["target"] == target:
            return target, target
        done = len(_finished(search_study(run))) if run.weights.is_file() else 0
        # The best are still to be noted: without them the stage is not done.
        return min(done, target - 1), target

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The search section, but for the number of architectures, which may grow."""
        section = run.job.search.model_dump(mode="json", exclude={"architectures"})
        return {**{f"search.{key}": value for key, value in section.items()}, "precision": run.job.precision}

    def _run(self, run: RunFolder, count: int | None, report: Report) -> dict[str, float]:
        job, config = run.job, run.job.search
        space = load_search_space(job.space)
        evaluator = load_evaluator(run)
        study = search_study(run)
        done = len(_finished(study))
        progress = ProgressWriter(
            run.progress(self.name),
            stage=self.name,
            unit="architectures",
            total=config.architectures,
            done=done,
        )

        def describe(architecture: Architecture) -> Mapping[str, Any]:
            cost = profile(architecture, evaluator.supernet.schema, layer_norm=evaluator.supernet.layer_norm)
            return {"macs": cost.macs, "parameters": cost.parameters}

        def evaluate(architecture: Architecture) -> Score:
            # From the study alone: a worker that was killed finds the same rivals again.
            return evaluator.evaluate(architecture, incumbents(study, space, config.early_stop))

        def on_trial(finished: Finished) -> None:
            best = study.best_value
            progress.update(finished.done, f"best log loss {best:.4f}")
            report({"log_loss": best})

        children = config.architectures - config.population
        scored = search(
            study,
            space,
            evaluate,
            storage=study_storage(job.storage_url),
            sampler=RegularizedEvolutionSampler(
                space=space,
                population_size=config.population,
                tournament_size=config.tournament,
                children=config.children,
                generations=max(1, children // config.children),
                seed=job.seed,
            ),
            target=config.architectures,
            count=count,
            first=list(hand_designs(space).values()),
            describe=describe,
            on_trial=on_trial,
        )
        finished = _finished(study)
        best = min(trial.values[0] for trial in finished)
        if stage_ended(study, finished=len(finished), target=config.architectures, mine=scored, count=count):
            publish(run, lambda: report_content(run))
            top = [a for trial in ranked(finished) if (a := architecture_of(trial.params, space)) is not None][:_NOTED]
            write_json(
                run.top,
                {
                    "target": config.architectures,
                    "scored": len(finished),
                    "top": [dict(a.params) for a in top],
                },
            )
            progress.update(config.architectures, f"best log loss {best:.4f}, {len(finished)} architectures scored")
        return {"log_loss": best}


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def load_evaluator(run: RunFolder) -> WeightSharingEvaluator:
    """The evaluator over a run's supernet, loaded once a process.

    Raises:
        NasRecError: the supernet is not trained, or not of the job's space and data.
    """
    return _evaluator(run.job.model_dump_json())


@cache
def _evaluator(text: str) -> WeightSharingEvaluator:
    """The evaluator of a job, loaded once a process. The job's text is the cache's key."""
    run = RunFolder(Job.model_validate_json(text))
    job, config = run.job, run.job.search
    data = PreparedData.open(run.data)
    supernet = load_supernet(run.weights, load_search_space(job.space), data.schema(job.embedding_dim))
    return WeightSharingEvaluator(
        supernet.to(job.device),
        head_rows=data.part(Part.HEAD).sample(max(1, config.head.rows), job.seed),
        score_rows=data.part(Part.SEARCH).sample(config.max_rows, job.seed),
        head=config.head,
        seed=job.seed,
        precision=job.precision,
        early_stop=config.early_stop,
    )
