"""Optuna studies in a SQL database: the search for architectures and the retraining of the best."""

from nasrec_automl.score import Score
from nasrec_automl.search.distributions import distributions
from nasrec_automl.search.evolution import RegularizedEvolutionSampler
from nasrec_automl.search.hyper import Hyper
from nasrec_automl.search.proposals import propose
from nasrec_automl.search.random_sampler import ArchitectureRandomSampler
from nasrec_automl.search.retrain import retrain
from nasrec_automl.search.scoring import search
from nasrec_automl.search.storage import open_storage, open_study
from nasrec_automl.search.task import TrialOutcome
from nasrec_automl.search.worker import WorkerOptions

__all__ = [
    "ArchitectureRandomSampler",
    "Hyper",
    "RegularizedEvolutionSampler",
    "Score",
    "TrialOutcome",
    "WorkerOptions",
    "distributions",
    "open_storage",
    "open_study",
    "propose",
    "retrain",
    "search",
]
