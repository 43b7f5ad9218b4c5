"""What scores are compared with: the quickstart's supernet, and architectures trained from scratch.

Everything is kept in a folder, and a later run goes on where an earlier one ended.
"""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import DataConfig, Job, load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.evaluation.sample import one_of_each_size
from nasrec_automl.pipeline.data import DataStage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.rank import MEASURED
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.pipeline.truth import train_and_measure
from nasrec_automl.space import load_search_space

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "job.yaml"
DATA = {
    "movielens": DataConfig(source="movielens"),
    "synthetic": DataConfig(source="synthetic", options={"rows": 100_000, "seed": 1}),
}
ARCHITECTURES, SEEDS = 40, 2


def trained_supernet(name: str, folder: Path) -> RunFolder:
    """A run of the quickstart's job on other data, up to the trained supernet."""
    job: Job = load_job(QUICKSTART).model_copy(update={"run_folder": folder.resolve() / name, "data": DATA[name]})
    run = RunFolder(job)
    run.create()
    DataStage().run(run)
    SupernetStage().run(run)
    return run


def sample(run: RunFolder) -> list[Architecture]:
    """One architecture of each size."""
    schema = PreparedData.open(run.data).schema(run.job.embedding_dim)
    return one_of_each_size(load_search_space(run.job.space), schema, ARCHITECTURES)


def train_truth(run: RunFolder, *, until: float) -> NDArray[np.float64]:
    """Log losses of the sample trained from scratch, on rows that no score reads.

    Args:
        run: with a trained supernet.
        until: `time.monotonic()` at which to start no further training.

    Returns:
        `(seeds, architectures)`; NaN where a training is still to be done.
    """
    path = run.path / "truth.json"
    known: dict[str, float | None] = read_json(path) or {}
    losses = np.full((SEEDS, ARCHITECTURES), np.nan)
    architectures = sample(run)
    for seed in range(SEEDS):
        # Not by size: those that are trained when time is up have all sizes.
        for i in np.random.default_rng(1).permutation(ARCHITECTURES):
            name = f"{architectures[i].key}/{seed}"
            if name not in known and time.monotonic() < until:
                known[name] = train_and_measure(run, architectures[i], seed, MEASURED).value
                write_json(path, known)
            losses[seed, i] = known.get(name, np.nan)
    return losses
