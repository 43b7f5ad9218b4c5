"""What early stop saves: `python -m tests.benchmarks.early_stop`; minutes, and it goes on where it was stopped.

A real search of 300 architectures. What was stopped is scored on all rows too, so that the truth is known.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.evaluation import Score, WeightSharingEvaluator
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import load_supernet
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.incumbents import incumbents
from nasrec_automl.search.mutation import generations_of
from nasrec_automl.space import load_search_space
from tests.benchmarks.measure import THREADS
from tests.benchmarks.truth import DATA, trained_supernet

_ARCHITECTURES, _AT_ONCE = 300, 10
_SEARCHES = (("movielens", 0), ("synthetic", 0), ("synthetic", 20_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench-head"), help="of runs, shared with the head's")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each data set")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name, fresh in _SEARCHES:
        run = trained_supernet(name, arguments.folder)
        _print(name, run, _searched(run, fresh, until=time.monotonic() + arguments.seconds))


def _searched(run: RunFolder, fresh: int, *, until: float) -> list[dict[str, float]]:
    """What the search read and what is true, in the order of the search; on so many fresh rows, or the search part."""
    job, config = run.job, run.job.search
    data = PreparedData.open(run.data)
    space = load_search_space(job.space)
    supernet = load_supernet(run.weights, space, data.schema(job.embedding_dim))
    stopping, full = (
        WeightSharingEvaluator(
            supernet,
            head_rows=data.part(Part.HEAD),
            score_rows=_fresh_rows(data, fresh) if fresh else data.part(Part.SEARCH),
            head=config.head,
            seed=job.seed,
            early_stop=early_stop,
        )
        for early_stop in (config.early_stop, 0)
    )
    path = run.path / f"early_stop-{fresh}.json"
    known: dict[str, dict[str, float]] = read_json(path) or {}
    storage = open_storage(f"sqlite:///{run.path / f'early_stop-{fresh}.db'}")
    study = open_study(storage, name="early-stop", identity={})

    def evaluate(architecture: Architecture) -> Score:
        rivals = incumbents(study, space, config.early_stop)
        start = time.perf_counter()
        score = stopping.evaluate(architecture, rivals)
        between = time.perf_counter()
        whole = full.evaluate(architecture) if score.stopped else score
        after = time.perf_counter()
        known[architecture.key] = {
            "value": score.log_loss,
            "rows": score.rows,
            "seconds": between - start,
            "truth": whole.log_loss,
            "all_rows": whole.rows,
            "all_seconds": after - (between if score.stopped else start),
        }
        write_json(path, known)
        return score

    while time.monotonic() < until:
        scored = search(
            study,
            space,
            evaluate,
            storage=storage,
            sampler=RegularizedEvolutionSampler(
                space=space,
                population_size=config.population,
                tournament_size=config.tournament,
                children=config.children,
                generations=generations_of(_ARCHITECTURES, config.population, config.children),
                seed=job.seed,
            ),
            target=_ARCHITECTURES,
            count=_AT_ONCE,
            first=list(hand_designs(space).values()),
        )
        if not scored:
            break
    finished = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return [known[trial.user_attrs[KEY]] for trial in finished]


def _fresh_rows(data: PreparedData, rows: int) -> Rows:
    """Rows with the planted effects of the run's synthetic data. The supernet saw none of them."""
    raw = make_synthetic(rows, DATA["synthetic"].options["seed"])
    dense, ids = data.preprocessing.transform(raw.frame)
    return Rows(dense, ids, raw.label.to_numpy())


def _print(name: str, run: RunFolder, found: list[dict[str, float]]) -> None:
    column = {key: np.array([each[key] for each in found]) for key in found[0]}
    stopped = column["rows"] < column["all_rows"]
    table = Table(title=f"{name}: {len(found)} architectures of {column['all_rows'][0]:,} rows", title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_row("stopped early", f"{stopped.sum()}")
    table.add_row("rows read, of all", f"{column['rows'].sum() / column['all_rows'].sum():.1%}")
    table.add_row("seconds, of those of full scores", f"{column['seconds'].sum() / column['all_seconds'].sum():.1%}")
    table.add_row("seconds a full score", f"{column['all_seconds'].mean():.3f}")
    for best in (6, run.job.search.early_stop):
        mine, true = (set(np.argsort(column[key])[:best]) for key in ("value", "truth"))
        table.add_row(f"best {best} that are the true ones", f"{len(mine & true)}")
    error = np.abs(column["value"] - column["truth"])[stopped]
    table.add_row("mean error of an estimate", f"{error.mean():.5f}")
    table.add_row("tau of values with full scores", f"{kendalltau(column['value'], column['truth']).statistic:.3f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
