"""`python -m tests.benchmarks baselines JOB_OR_RUN ...`: tune baselines as long as a run took, and compare on test.

A job that has not run is run first. Several runs of one data set are several searches: give jobs that differ in seed
and run_folder alone. Everything is kept in the run folder's `baselines`, and a later call goes on where one ended.
Baselines see test when every method of every run has its winner, and each training is measured on it once.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nasrec_automl.config import SamplerName
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, Part
from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.final_training import FINAL_SEEDS_APART
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.search.task import key_of
from nasrec_automl.training.metrics import measure, targets
from tests.benchmarks.baselines.compare import Searches, compare, quality
from tests.benchmarks.baselines.method import Logits, Method
from tests.benchmarks.baselines.networks import NETWORKS
from tests.benchmarks.baselines.ours import best_hand_design, identity, seconds_spent, train, winner, with_sampler
from tests.benchmarks.baselines.plain import Boosting, Linear
from tests.benchmarks.baselines.tuning import tune
from tests.benchmarks.measure import machine
from tests.benchmarks.parallel import on_each, threads_of

METHODS: dict[str, type[Method]] = {method.name: method for method in (Linear, Boosting, *NETWORKS)}
OURS = "winner of a run"
_CONSOLE = Console(width=130)
OTHER_SEARCHES: dict[str, SamplerName] = {
    "random search": "random",
    "TPE search": "tpe",
    "NSGA-II search": "nsga2",
    "evolution search": "evolution",
}
"""Runs over the same supernet with another sampler, by their names in the table."""

_HAND = "best hand design"


@dataclass(frozen=True)
class Entrant:
    """A method with everything chosen.

    Attributes:
        train: trains it with a seed.
        seeded: whether another seed gives another model.
        chosen: what JSON says of it.
        identity: of what is trained and how: test logits are kept under this name, and what two entrants share is
            trained once.
    """

    train: Callable[[int], Logits]
    seeded: bool
    chosen: dict[str, Any]
    identity: str


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks baselines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="JOB_OR_RUN", help="job files, or folders of runs")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=[*METHODS], help="baselines (all)")
    parser.add_argument(
        "--samplers",
        nargs="*",
        choices=[*OTHER_SEARCHES.values()],
        default=["random", "tpe"],
        help="of runs beside ours",
    )
    parser.add_argument("--seconds", type=float, help="of tuning; what supernet, search and retrain took by default")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each winner")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its share of threads")
    parser.add_argument("--output", type=Path, default=Path("baselines.json"), help="results")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, but is {options.workers}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    runs = [RunFolder.open(path) for path in options.runs]
    on_each(_run, [(path,) for path in options.runs], workers=options.workers)
    if len({PreparedData.open(run.data).fingerprint for run in runs}) > 1:
        raise DataError("the runs have different data: they share a table only where test is the same rows")

    with ExitStack() as locks:
        for run in runs:
            locks.enter_context(run.lock("baselines"))
        result = _result(runs, options)
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _CONSOLE.print(_table(result))


def _result(runs: list[RunFolder], options: argparse.Namespace) -> dict[str, Any]:
    known = PreparedData.open(runs[0].data)
    if known.part(Part.SEARCH).weight is not None:
        raise DataError(f"rows of {known.name} have weights, and this comparison would leave them out")
    searches = [name for sampler in options.samplers for name, of in OTHER_SEARCHES.items() if of == sampler]
    units = [(path, name, options) for path in options.runs for name in (OURS, _HAND, *searches, *options.methods)]
    chosen = on_each(_choose, units, workers=options.workers)
    # Nothing is chosen from here on.
    units = [unit for unit, one in zip(units, chosen, strict=True) if one is not None]
    measured = on_each(_logits, units, workers=options.workers)
    found: dict[str, list[dict[str, Any]]] = {}
    logits: dict[str, Searches] = {}
    for (_, name, *_), one, several in zip(units, filter(None, chosen), measured, strict=True):
        found.setdefault(name, []).append(one)
        logits.setdefault(name, []).append(several)
    data = PreparedData.open(runs[0].data, test=True)
    label = np.asarray(data.part(Part.TEST).label)
    rows = [_row(name, found[name], label, logits) for name in found]
    return {
        "dataset": data.name,
        "split": data.description.split.kind,
        "test_rows": data.rows(Part.TEST),
        "searches": len(runs),
        "seeds": options.seeds,
        "machine": machine(threads_of(options.workers)),
        "methods": rows,
    }


def _run(path: Path) -> None:
    run = RunFolder.open(path)
    if not run.result.is_file():
        _CONSOLE.print(f"{run.path}: running the job")
        run_job(run)


def _choose(path: Path, name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """What was chosen for an entrant; nothing where the run has none of this name."""
    run = RunFolder.open(path)
    entrant = _entrant(run, name, options)
    if entrant is None:
        return None
    chosen = entrant.chosen
    trials = f", {chosen['trials']} trials" if "trials" in chosen else ""
    _CONSOLE.print(f"{run.path}: {name} chosen in {chosen['seconds']:.0f} s{trials}")
    return chosen


def _entrant(run: RunFolder, name: str, options: argparse.Namespace) -> Entrant | None:
    """An entrant with everything chosen, without test; what was chosen before is read."""
    folder, data, job = run.path / "baselines", PreparedData.open(run.data), run.job
    own = seconds_spent(run)
    if name == OURS:
        return _searched(run)
    if name == _HAND:
        hand = best_hand_design(run)
        if hand is None:
            return None
        chosen = {"name": hand.name, "seconds": own}
        return Entrant(lambda seed: train(run, hand, seed), True, chosen, identity(run, hand))
    if name in OTHER_SEARCHES:
        return _searched(with_sampler(run, OTHER_SEARCHES[name], folder / "runs" / OTHER_SEARCHES[name]))
    method = METHODS[name](data.schema(job.embedding_dim), job)
    tuned = tune(method, data, folder, seconds=own if options.seconds is None else options.seconds, seed=job.seed)

    # As our final trainings, but for teachers: hpo rows say when one ends, and which is the best.
    def fit(seed: int) -> Logits:
        rows, hpo = data.part(*FINAL), data.part(Part.HPO)
        seeds = [seed + number * FINAL_SEEDS_APART for number in range(job.retrain.final_seeds if method.seeded else 1)]
        fitted = [method.fit(tuned.params, rows, hpo, seed=one, report=lambda *_: False).logits for one in seeds]
        return min(fitted, key=lambda logits: measure(logits(hpo), *targets(hpo)).log_loss)

    return Entrant(fit, method.seeded, asdict(tuned), f"{name}-{key_of(tuned.params)[:8]}")


def _searched(run: RunFolder) -> Entrant:
    found = winner(run)
    chosen = {"name": found.name, "choice": found.metrics.log_loss, "seconds": seconds_spent(run)}
    return Entrant(lambda seed: train(run, found, seed), True, chosen, identity(run, found))


def _logits(path: Path, name: str, options: argparse.Namespace) -> list[NDArray[np.float64]]:
    """Test logits of each seed; each training is done, and measured, once."""
    run, found = RunFolder.open(path), []
    entrant = _entrant(run, name, options)
    assert entrant is not None
    for number in range(options.seeds if entrant.seeded else 1):
        # Searches with neighbouring seeds share no training, and the final trainings of one go on after another's.
        seed = run.job.seed + number * run.job.retrain.final_seeds * FINAL_SEEDS_APART
        kept = run.path / "baselines" / "test" / f"{entrant.identity}-{seed}.npy"
        if not kept.is_file():
            logits = entrant.train(seed)
            kept.parent.mkdir(parents=True, exist_ok=True)
            test = PreparedData.open(run.data, test=True).part(Part.TEST)
            beside = kept.with_suffix(".partial.npy")
            np.save(beside, logits(test).double().numpy())
            beside.replace(kept)
            _CONSOLE.print(f"{run.path}: {name} trained with seed {seed}")
        found.append(np.load(kept))
    return found


def _row(
    name: str, chosen: list[dict[str, Any]], label: NDArray[np.generic], logits: dict[str, Searches]
) -> dict[str, Any]:
    measured = quality(label, logits[name])
    row = {"method": name, "trainings": sum(map(len, logits[name])), **asdict(measured), "chosen": chosen}
    if name != OURS:
        loss, auc = compare(label, logits[name], logits[OURS])
        row["less_ours"] = {"log_loss": asdict(loss), "auc": asdict(auc)}
    return row


def _table(result: dict[str, Any]) -> Table:
    title = f"{result['dataset']}, {result['split']} split: {result['searches']} searches, {result['seeds']} seeds"
    table = Table(title=f"{title}\n{result['machine']}", title_justify="left")
    for column in ("method", "trials", "seconds", "log loss", "AUC", "log loss less ours", "AUC less ours"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in sorted(result["methods"], key=lambda row: row["log_loss"]["mean"]):
        less = row.get("less_ours")
        table.add_row(
            row["method"],
            ", ".join(str(one["trials"]) for one in row["chosen"] if "trials" in one),
            ", ".join(f"{one['seconds']:.0f}" for one in row["chosen"]),
            *(f"{row[name]['mean']:.4f} ± {row[name]['deviation']:.4f}" for name in ("log_loss", "auc")),
            *(f"{less[n]['mean']:+.4f} ± {less[n]['error']:.4f}" if less else "" for n in ("log_loss", "auc")),
        )
    return table
