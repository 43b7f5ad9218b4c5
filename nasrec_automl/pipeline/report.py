"""Stage `report`: fills the report from what the stages left."""

from __future__ import annotations

import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from scipy.special import entr

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import LATENCY, MACS, PARAMETERS
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part
from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.budget import job_budget, left_out_designs
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.dashboard import dashboard_command, publish
from nasrec_automl.pipeline.evaluator import score_rows
from nasrec_automl.pipeline.files import read_json, write_text
from nasrec_automl.pipeline.final_baselines import BASELINE_ROWS
from nasrec_automl.pipeline.outcomes import FinalOutcome, read_result, read_verdict
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import most_validations, with_settings
from nasrec_automl.pipeline.status import (
    check_has_result,
    report_is_noted,
    reported_digest,
    result_is_noted,
    search_is_noted,
)
from nasrec_automl.pipeline.studies import search_admission, study_trials
from nasrec_automl.randomness import rng_for
from nasrec_automl.report import (
    CalibrationBin,
    CurvePoint,
    ReportContent,
    ResultRow,
    RetrainTrial,
    ScoredArchitecture,
    render_report,
)
from nasrec_automl.report.style import COSTS
from nasrec_automl.report.summary import by_score
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import LOG_LOSS, is_ours, written
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.search.hyper import ARCHITECTURE
from nasrec_automl.search.pruning import FIRST_RUNG
from nasrec_automl.search.task import ENDED
from nasrec_automl.space import SearchSpace, load_search_space

_SAMPLED = 1_000
"""Random architectures whose share inside the budget is shown."""


class ReportStage(Stage):
    """Writes `report.html`. It is done when the report is of the present result."""

    name = "report"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """One unit: the report of the present result."""
        return int(report_is_noted(run)), 1

    def devices(self, run: RunFolder) -> int:
        """None: it reads what is there."""
        return 0

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        if not self.is_done(run):
            progress = ProgressWriter(run.progress(self.name), unit="reports", total=1)
            _write(run)
            progress.update(1)
        return {}


def write_run_report(run: RunFolder) -> Path:
    """Write the report of a finished run again, and what Optuna's dashboard shows of it.

    Raises:
        RunFolderError: the run has no result yet or more to do since, or its studies are gone.
    """
    check_has_result(run)
    return _write(run)


def _write(run: RunFolder) -> Path:
    of = reported_digest(run)
    content = report_content(run)
    publish(run, lambda: content)
    write_text(run.report, render_report(content))
    write_text(run.reported, of)
    return run.report


def report_content(run: RunFolder) -> ReportContent:
    """Everything that the report shows, read from disk and studies.

    Until there is a result, the best score stands in for the winner, and there are no results.

    Raises:
        RunFolderError: the search has scored nothing.
    """
    job = run.job
    data = PreparedData.open(run.data)
    space = load_search_space(job.space)
    done = result_is_noted(run)
    result: Any = read_result(run) if done else None
    final = FinalOutcome.read(run.final) if done else None
    search = _scored(run, space)
    if final is None:
        winner, winner_name = _best_known(run, search)
    else:
        winner, winner_name = space.from_params(result["architecture"]), final.winner
    return ReportContent(
        title=job.name,
        dataset=data.name,
        winner=winner,
        winner_name=winner_name,
        facts=_facts(run, data, result),
        supernet=[CurvePoint(**point) for point in read_json(run.curve) or []],
        entropies={part: _entropy(described.positive_rate) for part, described in data.description.parts.items()},
        search=search,
        objectives=job.search.objectives,
        score_rows=score_rows(run),
        verdict=read_verdict(run),
        prunes=job.retrain.pruner == "hyperband" and most_validations(run) > FIRST_RUNG,
        retrain=_trainings(run) if search_is_noted(run) else [],
        results=_results(run, result, final) if final else [],
        chosen_on=final.chosen_on if final else (),
        baseline_rows=BASELINE_ROWS if data.rows(*TRAINING, *VALIDATION) > BASELINE_ROWS else None,
        teachers=final.teachers if final else (),
        final_teachers=final.final_teachers if final else (),
        test_readings=final.test_readings if final else 0,
        calibration=[CalibrationBin(**bin_) for bin_ in final.calibration] if final else [],
        how_to_go_on=[
            dashboard_command(run),
            f"nasrec-automl predict --model {shlex.quote(str(run.best))} --input FILE --output FILE"
            if result
            else run.status_command,
            *([f"nasrec-automl retrain {shlex.quote(str(run.path))} KEY"] if job.search.several else []),
        ],
    )


def _entropy(share: float) -> float:
    return float(entr(share) + entr(1 - share))


def _best_known(run: RunFolder, search: list[ScoredArchitecture]) -> tuple[Architecture, str]:
    for scored in by_score(search):
        if scored.architecture is not None:
            return scored.architecture, scored.name
    raise RunFolderError(f"{run.path}: the search has scored no architecture of the job's space yet")


def _facts(run: RunFolder, data: PreparedData, result: dict[str, Any] | None) -> dict[str, str]:
    job = run.job
    space, schema = load_search_space(job.space), data.schema()
    parts = ", ".join(f"{part.value} {data.rows(part):,}" for part in Part)
    largest = max(rows for field in schema.fields for rows in field.tables)
    notes = data.description.notes
    spent = result["seconds"] if result else {}
    seconds = ", ".join(f"{stage} {seconds:,.0f}" for stage, seconds in spent.items())
    return {
        "Search space": f"{space.name}, {Decimal(space.cardinality):.1e} architectures",
        **_objective_facts(run),
        **_budget_facts(run, space),
        "Features": f"{len(schema.dense)} dense, {schema.num_fields} categorical",
        "Table rows": f"{schema.table_rows:,} in all, {largest:,} in the largest",
        "Rows": parts,
        **({"Read": str(notes["completeness"])} if "completeness" in notes else {}),
        "Split": f"{data.description.split.kind}, seed {data.description.split.seed}",
        "Seed of the job": str(job.seed),
        **({"Seconds by stage": seconds} if seconds else {}),
    }


def _objective_facts(run: RunFolder) -> dict[str, str]:
    """What was minimised and by which sampler, where that is more than the log loss."""
    config = run.job.search
    if not config.several:
        return {}
    text = ", ".join("log loss" if name == LOG_LOSS else COSTS[name] for name in config.objectives)
    if LATENCY in config.objectives:
        text += f" for {run.job.budget.batch_size:,} rows on the {run.job.device}"
    return {"Minimised": f"{text}, by {config.sampler}"}


def _budget_facts(run: RunFolder, space: SearchSpace) -> dict[str, str]:
    """The budget, the share of the space that it leaves, and what it left out; nothing where there is none."""
    budget, config = job_budget(run), run.job.budget
    if not budget.limits:
        return {}
    text = str(budget)
    if config.latency_ms is not None:
        text += f" for {config.batch_size:,} rows on the {run.job.device}"
    facts = {"Budget": text}
    if config.macs is not None or config.parameters is not None:  # latency would have to be measured
        rng = rng_for("share inside the budget", run.job.seed)
        inside = sum(budget.fullness(space.random(rng, inputs="uniform")) <= 1 for _ in range(_SAMPLED))
        facts["Inside the budget"] = f"{inside / _SAMPLED:.0%} of {_SAMPLED:,} random architectures"
        if config.latency_ms is not None:
            facts["Inside the budget"] += ", latency not counted"
    designs = left_out_designs(space, budget)
    admits, scored = search_admission(run), study_trials(run, "search", (TrialState.COMPLETE,))
    earlier = sum(not admits(trial) for trial in scored)
    left_out = [*designs, *([f"{earlier:,} scored architectures"] if earlier else [])]
    return facts | ({"Left out, over the budget": ", ".join(left_out)} if left_out else {})


def _scored(run: RunFolder, space: SearchSpace) -> list[ScoredArchitecture]:
    """What the search has scored inside the budget, the first trial of each key.

    Others may add trials that say nothing but parameters and values, and of a key that the study has.
    """
    names = {design.key: name for name, design in hand_designs(space).items()}
    budget, objectives = job_budget(run), run.job.search.objectives
    found: dict[str, ScoredArchitecture] = {}
    for trial in filter(search_admission(run), study_trials(run, "search", (TrialState.COMPLETE,))):
        architecture = architecture_of(trial.params, space)
        if architecture is None or architecture.key in found:
            continue
        own = written(trial)
        if not {MACS, PARAMETERS} <= own.keys():
            own = {**budget.counted(architecture), **dict(zip(objectives, trial.values, strict=True)), **own}
        found[architecture.key] = ScoredArchitecture(
            number=trial.number,
            key=architecture.key,
            log_loss=trial.values[0],
            standard_error=own.get("standard_error"),
            auc=own.get("auc"),
            macs=int(own[MACS]),
            parameters=int(own[PARAMETERS]),
            hand=names.get(architecture.key),
            rows=own.get("rows"),
            stopped=own.get("stopped", False),
            latency_ms=own.get(LATENCY),
            architecture=architecture,
        )
    return list(found.values())


def _trainings(run: RunFolder) -> list[RetrainTrial]:
    """All trainings of the run; the final stage does not choose among trials that others added."""
    trials = study_trials(run, "retrain", ENDED)
    return [_training(trial, run) for trial in trials if ARCHITECTURE in trial.params and is_ours(trial)]


def _training(trial: FrozenTrial, run: RunFolder) -> RetrainTrial:
    return RetrainTrial(
        number=trial.number,
        architecture=trial.params[ARCHITECTURE],
        log_loss=trial.values[0] if trial.values else None,
        state=trial.state.name.lower(),
        hyper=with_settings(run.job, Hyper.of(trial.params, run.job.retrain.space)),
        curve=sorted(trial.intermediate_values.items()),
    )


def _results(run: RunFolder, result: dict[str, Any], final: FinalOutcome) -> list[ResultRow]:
    rows, known = [], candidates(run)
    for contender in final.contenders:
        wins = contender.name == final.winner
        rows.append(
            ResultRow(
                name=contender.name,
                kind=known[contender.name].origin,
                wins=wins,
                log_loss=contender.validation["log_loss"],
                auc=contender.validation["auc"],
                test_log_loss=result["test"]["log_loss"] if wins else None,
                test_auc=result["test"]["auc"] if wins else None,
                macs=contender.macs,
                parameters=contender.parameters,
                less_winner_error=contender.less_winner_error,
            )
        )
    rows += [
        ResultRow(
            name=baseline["name"],
            kind="baseline",
            log_loss=baseline["validation"]["log_loss"],
            auc=baseline["validation"]["auc"],
            test_log_loss=baseline["test"]["log_loss"],
            test_auc=baseline["test"]["auc"],
            test_less_winner_error=baseline["test_less_winner_error"],
        )
        for baseline in result["baselines"]
    ]
    return rows
