"""`python -m tests.benchmarks recipe JOB_OR_RUN`: what each default of training from scratch brings.

One architecture is trained from scratch with the settings that every candidate is trained with first, and with one of
them changed, with the same seeds. The hpo part says when a training was best; what is measured are search and choice
rows, which it did not see. Of more trainings than `retrain.final_seeds` it also says what the best on hpo rows of so
many has there, the mean over all ways to draw them: what the final stage gains from its number of trainings. All is
kept in the run folder's `recipe.json`; a later call trains the rest.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, has_teachers, train_by_job
from nasrec_automl.pipeline.teachers import taught_label, teachers
from nasrec_automl.space import load_search_space
from tests.benchmarks.measure import machine
from tests.benchmarks.parallel import on_each, threads_of
from tests.benchmarks.recipe.variants import OURS, changed, variants

_MEASURED = (Part.SEARCH, Part.CHOICE)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = variants()
    parser.add_argument("run", type=Path, metavar="JOB_OR_RUN", help="a job file, or the folder of a run")
    parser.add_argument("--design", default="hand-dlrm", help="the architecture: a hand design (hand-dlrm)")
    parser.add_argument("--variants", nargs="*", choices=known, default=[*known], help="beside ours (all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its share of threads")
    options = parser.parse_args(arguments)
    if min(options.workers, options.seeds) < 1:
        parser.error("--workers and --seeds must be at least 1")
    run = RunFolder.open(options.run)
    designs = hand_designs(load_search_space(run.job.space))
    if options.design not in designs:
        parser.error(f"the job's space has no design {options.design}; it has {', '.join(designs)}")
    run.create()
    DataStage().run(run)
    teachers(run)  # before several processes ask for them
    names = [*dict.fromkeys([OURS, *options.variants])]
    path = run.path / "recipe.json"
    with run.lock("recipe"):
        kept: dict[str, Any] = read_json(path) or {}
        mine = kept.setdefault(options.design, {})
        seeds = range(options.seeds)
        missing = [(name, seed) for seed in seeds for name in names if f"{name}/{seed}" not in mine]
        for start in range(0, len(missing), 2 * options.workers):
            parts = missing[start : start + 2 * options.workers]
            found = on_each(_train, [(options.run, options.design, *part) for part in parts], workers=options.workers)
            mine |= {f"{name}/{seed}": one for (name, seed), one in zip(parts, found, strict=True)}
            write_json(path, {**kept, "machine": machine(threads_of(options.workers))})
    title = f"{run.job.name}, {options.design}: {options.seeds} trainings each"
    Console(width=110).print(_table(title, mine, names, options.seeds, run.job.retrain.final_seeds))


def _train(path: Path, design: str, name: str, seed: int) -> dict[str, float] | None:
    """How one training went; nothing where it diverged."""
    variant, run = variants()[name], RunFolder.open(path)
    label = taught_label(run) if variant.teachers else None
    run = RunFolder(changed(run.job, variant))
    architecture = hand_designs(load_search_space(run.job.space))[design]
    data, hyper = PreparedData.open(run.data), default_hyper(run.job, taught=has_teachers(run.job))
    began = time.monotonic()
    try:
        trained = train_by_job(run, architecture, hyper, lambda step, metrics: False, seed_offset=seed, label=label)
    except DivergedError:
        return None
    seconds = time.monotonic() - began
    measured = measure_subnet(trained.subnet, data.part(*_MEASURED))
    epochs = trained.step * hyper.batch_size / sum(data.rows(part) for part in TRAINING)
    return {"log_loss": measured.log_loss, "hpo": trained.metrics.log_loss, "epochs": epochs, "seconds": seconds}


def _table(title: str, found: dict[str, Any], names: Sequence[str], seeds: int, kept_of: int) -> Table:
    table = Table(title=title, title_justify="left")
    best = [f"best of {kept_of} on hpo"] if seeds > kept_of > 1 else []
    for column in ("variant", "log loss", *best, "less ours", "epochs", "seconds"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name in names:
        trainings = [found[f"{name}/{seed}"] for seed in range(seeds)]
        pairs = [
            (one["log_loss"], ours["log_loss"])
            for one, ours in zip(trainings, (found[f"{OURS}/{seed}"] for seed in range(seeds)), strict=True)
            if one is not None and ours is not None
        ]
        if len(pairs) < seeds:
            table.add_row(name, f"{seeds - len(pairs)} diverged")
            continue
        losses, less = np.array(pairs)[:, 0], np.subtract(*np.array(pairs).T)
        table.add_row(
            name,
            f"{losses.mean():.4f}{_spread(losses)}",
            *(f"{_best_of(trainings, kept_of):.4f}" for _ in best),
            "" if name == OURS else f"{less.mean():+.4f}{_spread(less / np.sqrt(seeds))}",
            f"{np.mean([one['epochs'] for one in trainings]):.1f}",
            f"{np.mean([one['seconds'] for one in trainings]):.0f}",
        )
    return table


def _best_of(trainings: Sequence[dict[str, float]], count: int) -> float:
    """Log loss of the best on hpo rows of so many trainings, the mean over all ways to draw them."""
    drawn = itertools.combinations(trainings, count)
    return float(np.mean([min(some, key=lambda one: one["hpo"])["log_loss"] for some in drawn]))


def _spread(values: np.ndarray) -> str:
    return f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
