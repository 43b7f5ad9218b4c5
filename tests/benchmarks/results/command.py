"""`python -m tests.benchmarks results`: measure all that docs/results.md shows, and write it.

For each data set in order: how well scores rank, ablations, baselines over three searches. Each step keeps what it did
in run folders, and a later call goes on where one ended. `--steps page` alone writes the page from what is on disk.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nasrec_automl.config import Job, load_job
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.rank import rank_scores
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.benchmarks.measure import machine
from tests.benchmarks.results.datasets import DATASETS, ROOT, SEARCHES, SEEDS, SUPERNETS
from tests.benchmarks.results.page import PAGES, STEPS, json_path, write_pages

_PAGE = "page"
_OF_POINT = ("key", "score", "standard_error", "losses", "parameters", "macs", "trained_steps")
_QUICK = {
    "supernet": {"epochs": 2},  # else 2,000 steps, hundreds of passes over a few rows
    "search": {"architectures": 8, "population": 4, "tournament": 2, "verdict": {"architectures": 0}},
    "retrain": {"top_k": 1, "trials": 4, "max_epochs": 1},
    "rank": {"architectures": 4, "seeds": 1},
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="all steps in minutes, on few rows; a page in FOLDER/page")
    parser.add_argument("--folder", type=Path, default=Path("runs/results"), help="of the runs")
    parser.add_argument("--only", nargs="+", choices=DATASETS, help="data sets (all; with --quick: synthetic)")
    parser.add_argument("--steps", nargs="+", choices=[*STEPS, _PAGE], default=[*STEPS, _PAGE], help="steps (all)")
    parser.add_argument("--samplers", nargs="*", metavar="NAME", help="of searches beside ours (random tpe)")
    parser.add_argument("--supernets", type=int, default=SUPERNETS, help="of each variant of the ablations (3)")
    parser.add_argument("--workers", type=int, default=1, help="processes of ranks and baselines, beside each other")
    options = parser.parse_args(arguments)
    if min(options.workers, options.supernets) < 1:
        parser.error("--workers and --supernets must be at least 1")
    folder: Path = options.folder / "quick" if options.quick else options.folder
    root = _copied_pages(folder / "page") if options.quick else ROOT
    for name in options.only or (["synthetic"] if options.quick else DATASETS):
        job = load_job(DATASETS[name].job)
        runs = searches(_quickened(job) if options.quick else job, folder / name, 1 if options.quick else SEARCHES)
        for step in STEPS:
            if step in options.steps:
                write_json(folder / name / f"{step}.json", _MEASURE[step](runs, folder / name, options))
        if _PAGE in options.steps:
            for step in STEPS:
                if (content := read_json(folder / name / f"{step}.json")) is not None:
                    write_json(json_path(root, name, step), content)
            write_pages(root)


def searches(job: Job, folder: Path, count: int) -> list[RunFolder]:
    """Run folders of the same job with one seed after another."""
    seeds = range(job.seed, job.seed + count)
    return [
        RunFolder(job.model_copy(update={"seed": seed, "run_folder": (folder / f"seed-{seed}").resolve()}))
        for seed in seeds
    ]


def _rank(runs: list[RunFolder], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How well the first run's scores rank, without the parameters of its architectures: the page needs none."""
    rank_scores(runs[0], workers=options.workers)
    found = read_json(runs[0].rank)
    points = [{name: point[name] for name in _OF_POINT} for point in found["architectures"]]
    return {
        "dataset": found["dataset"],
        "machine": machine(torch.get_num_threads()),
        "ranking": found["ranking"],
        "architectures": points,
    }


def _ablations(runs: list[RunFolder], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks.ablations.command import main as ablations

    runs[0].create()
    ablations([str(runs[0].path), "--seeds", "1" if options.quick else str(options.supernets)])
    found: dict[str, Any] = read_json(runs[0].path / "ablations.json")
    return found


def _baselines(runs: list[RunFolder], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks.baselines.command import main as baselines  # wants the extra `bench`

    for run in runs:
        run.create()
    output = folder / "baselines.json"
    few = ["--seconds", "10", "--methods", "logistic regression"] if options.quick else []
    seeds, samplers = "1" if options.quick else str(SEEDS), [] if options.quick else options.samplers
    if samplers is not None:
        few += ["--samplers", *samplers]
    few += ["--workers", str(options.workers)]
    baselines([*(str(run.path) for run in runs), "--seeds", seeds, "--output", str(output), *few])
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


_MEASURE: dict[str, Callable[[list[RunFolder], Path, argparse.Namespace], dict[str, Any]]] = {
    "rank": _rank,
    "ablations": _ablations,
    "baselines": _baselines,
}


def _quickened(job: Job) -> Job:
    """The job with few architectures and trainings, short ones, and few rows where they are generated."""
    content = job.model_dump(mode="json", by_alias=True, exclude_unset=True)
    content |= {section: {**content.get(section, {}), **few} for section, few in _QUICK.items()}
    if "rows" in content["data"].get("options", {}):
        content["data"]["options"]["rows"] = 4000
    return Job.model_validate(content)


def _copied_pages(root: Path) -> Path:
    """A folder with the pages of today, for a page that is not to be published."""
    for name in PAGES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    return root
