"""The data sets of the results, and what is to be reached on them."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The repository."""

SHARE_TARGET = 0.8
"""Tau as a share of the ceiling, to be reached on each."""

SEARCHES, SEEDS = 3, 5
"""Complete searches, and trainings of each winner, that a claim about baselines needs."""

COMPARED = (
    *("best hand design", "random search", "TPE search"),
    *("logistic regression", "gradient boosting", "DeepFM", "DCNv2", "AutoInt", "xDeepFM"),
)
"""What ours has to be ahead of, all of it: that of some of these says nothing of the target."""

SUPERNETS = 3
"""Supernets of each variant of the ablations."""


@dataclass(frozen=True)
class DataSet:
    """A data set of the results.

    Attributes:
        name: of its job, its files and its parts of the page.
        title: for readers.
        tau: Kendall's tau to be reached.
    """

    name: str
    title: str
    tau: float

    @property
    def job(self) -> Path:
        """Its job file."""
        return ROOT / "examples" / "results" / f"{self.name}.yaml"


DATASETS = {
    one.name: one
    for one in (
        DataSet("movielens", "MovieLens, random split", 0.5),
        DataSet("movielens-time", "MovieLens, split by time", 0.5),
        DataSet("flights", "flights", 0.6),
        DataSet("synthetic", "synthetic", 0.6),
    )
}
