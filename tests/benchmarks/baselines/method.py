"""What a baseline is: a family of models, its hyper-parameters, and how one of it is trained."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import optuna
from torch import Tensor

from nasrec_automl.config import Job
from nasrec_automl.data.rows import Rows
from nasrec_automl.schema import FeatureSchema

Logits = Callable[[Rows], Tensor]
"""Logits of some rows, `(n,)`."""

Report = Callable[[int, float], bool]
"""`report(step, log_loss)` of a validation; True ends the training."""


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        logits: what it says of rows.
        length: for how long it was trained, in the method's own unit.
    """

    logits: Logits
    length: float


class Method(ABC):
    """One family of models. Tuning calls `suggest` and `fit` for each trial, and the end `fit` for each seed.

    Attributes:
        name: in tables and studies.
        defaults: parameters of the first trial.
        trials: trials after which there is nothing left to tune, if there is such a number.
        seeded: whether another seed gives another model.
    """

    name: ClassVar[str]
    defaults: ClassVar[dict[str, Any]]
    trials: ClassVar[int | None] = None
    seeded: ClassVar[bool] = True

    def __init__(self, schema: FeatureSchema, job: Job) -> None:
        self.schema = schema
        self.job = job

    @abstractmethod
    def suggest(self, trial: optuna.Trial) -> None:
        """Ask the trial for every parameter."""

    @abstractmethod
    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        """Train on rows for as long as validation gets better.

        Raises:
            DivergedError: the training diverged.
        """
