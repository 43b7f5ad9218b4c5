"""`python -m tests.benchmarks ablations JOB_OR_RUN`: what each part of the method brings to the scores' ranks.

All variants are compared with the architectures that `nasrec-automl rank` trained from scratch; a job that has no
`rank.json` is ranked first. A variant's supernet is trained as the job's is, but for one thing, or what `--change`
says. What is found is kept in the run folder's `ablations`, the table in its `ablations.json`; a later call goes on
where one ended.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from rich.console import Console

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.errors import DivergedError, JobError
from nasrec_automl.pipeline.files import write_json
from nasrec_automl.pipeline.rank import RankStage, rank_content, rank_scores
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, has_layer_norm, has_teachers
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.ranking import without_nan
from nasrec_automl.space import load_search_space
from tests.benchmarks.ablations.compare import Judged, compare
from tests.benchmarks.ablations.supernets import Scored, score
from tests.benchmarks.ablations.table import table_of
from tests.benchmarks.ablations.truth import unbalanced_truth
from tests.benchmarks.ablations.unbalanced import mean_cost
from tests.benchmarks.ablations.variants import OURS, UNBALANCED, Variant, changed, variants
from tests.benchmarks.measure import machine

_WIDTH = 140


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks ablations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="JOB_OR_RUN", help="a job file, or the folder of a run")
    parser.add_argument(
        "--variants", nargs="*", metavar="NAME", help="beside the job's own settings (all; no name: none)"
    )
    parser.add_argument(
        "--change",
        nargs="+",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one more variant, by settings of the job's supernet section",
    )
    parser.add_argument("--seeds", type=int, default=1, help="supernets of each variant")
    parser.add_argument(
        "--own-truth",
        action="store_true",
        help=f"train the truth of {UNBALANCED} with its own operator too; as many trainings as have a Dot-Product",
    )
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run, console = RunFolder.open(options.run), Console(width=_WIDTH)
    known = variants(run.job)
    names = [*dict.fromkeys([OURS, *(known if options.variants is None else options.variants)])]
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}; this job has {', '.join(known)}")
    try:
        asked = [changed(run.job, settings) for settings in options.change]
    except ValueError as error:
        parser.error(f"--change: {error}")
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, but is {options.seeds}")
    if run.job.continues is not None:
        raise JobError("continues: variants are trained from their start values; give a job that continues none")
    if run.rank.is_file():
        for stage in (SupernetStage(), RankStage()):
            run.claim(stage.name, stage.settings(run))  # what is there is what the job says
    else:
        console.print(f"{run.path}: ranking scores")
        rank_scores(run)
    with run.lock("ablations"):
        result = _result(run, [*(known[name] for name in names), *asked], options, console)
        write_json(run.path / "ablations.json", result)
    console.print(table_of(result))
    for row in result["variants"]:
        for note in row["notes"]:
            console.print(f"{row['variant']}: {note}", highlight=False)


def _result(run: RunFolder, wanted: Sequence[Variant], options: argparse.Namespace, console: Console) -> dict[str, Any]:
    content = rank_content(run)
    space = load_search_space(run.job.space)
    architectures = [space.from_params(one.params) for one in content.architectures]
    losses = np.array([one.losses for one in content.architectures])
    found = {}
    for variant in wanted:
        try:
            found[variant.name] = _scored(run, variant, options.seeds, architectures, console)
        except DivergedError as error:
            if variant.name == OURS:
                raise
            console.print(f"{variant.name}: {error}")
            found[variant.name] = []
    own = None
    if options.own_truth and found.get(UNBALANCED):
        own = unbalanced_truth(
            run,
            architectures,
            losses,
            on_training=lambda ended: console.print(f"{UNBALANCED}: {ended} trainings from scratch"),
        )
    rows = []
    for variant in wanted:
        truth = own if variant.name == UNBALANCED and own is not None else losses
        rows.append(_row(run, variant, found[variant.name], found[OURS], truth, losses))
        if variant.name == UNBALANCED:
            _add_cost(rows[-1], run, architectures)
    return {
        "dataset": content.dataset,
        "machine": machine(torch.get_num_threads()),
        "architectures": len(architectures),
        "truth_seeds": losses.shape[1],
        "seeds": options.seeds,
        "variants": rows,
    }


def _scored(
    run: RunFolder, variant: Variant, seeds: int, architectures: Sequence[Architecture], console: Console
) -> list[Scored]:
    found = []
    for number in range(seeds):
        found.append(score(run, variant, number, architectures))
        console.print(f"{variant.name}, seed {run.job.seed + number}: supernet {found[-1].seconds:.0f} s, scored")
    return found


def _row(
    run: RunFolder,
    variant: Variant,
    scored: Sequence[Scored],
    ours: Sequence[Scored],
    truth: NDArray[np.float64],
    ours_truth: NDArray[np.float64],
) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": variant.name, "group": variant.group, "notes": []}
    if not scored:
        return {**row, "notes": ["its supernet's training diverged"]}
    kept = np.isfinite(truth).all(axis=1)
    own = truth is not ours_truth
    if own:
        row["notes"].append("its scores are compared with trainings from scratch that have its own operator")
        row["own_truth_log_loss"] = {"mean": float(truth[kept].mean()), "ours": float(ours_truth[kept].mean())}
    elif variant.note:
        row["notes"].append(variant.note)
    if not kept.all():
        row["notes"].append(f"{(~kept).sum()} architectures are left out: a training of them diverged or failed")
    mine, other = (
        Judged(np.array([one.scores[kept] for one in each]), losses[kept].mean(axis=1))
        for each, losses in ((scored, truth), (ours, ours_truth))
    )
    judged = compare(mine, other, seed=run.job.seed)
    row |= asdict(judged)
    if variant.name == OURS:
        del row["less_ours"], row["less_ours_deviation"]
    row |= {
        "log_loss": float(mine.scores.mean()),
        "seconds": float(np.mean([one.seconds for one in scored])),
    }
    return {name: without_nan(value) for name, value in row.items()}


def _add_cost(row: dict[str, Any], run: RunFolder, architectures: list[Architecture]) -> None:
    schema = PreparedData.open(run.data).schema(run.job.embedding_dim)
    layer_norm = has_layer_norm(run.job, default_hyper(run.job, taught=has_teachers(run.job)))
    costs = {
        name: mean_cost(architectures, schema, layer_norm=layer_norm, balanced=balanced)
        for name, balanced in (("unbalanced", False), ("balanced", True))
    }
    row["dot_product"] = {name: asdict(cost) for name, cost in costs.items()}
    shown = [f"{cost.macs:,.0f} multiply-adds and {cost.parameters:,.0f} parameters" for cost in costs.values()]
    row["notes"].append(f"the Dot-Products of an architecture have {shown[0]}, balanced {shown[1]} (means)")
