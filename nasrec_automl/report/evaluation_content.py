"""What is measured of models on the same rows, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nasrec_automl.report.content import CalibrationBin


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A model's log loss and AUC less those of the first, on the same rows.

    Attributes:
        log_loss: below 0 where the model is better.
        log_loss_error: its standard error, paired by row; None of a single row.
        auc: above 0 where the model is better; None where all rows are of one class.
        auc_error: its standard error (DeLong); None where a class has fewer than two rows.
        group_auc: the same of the AUC within groups.
        group_auc_error: its standard error, paired by group; None of fewer than two groups.
    """

    log_loss: float
    log_loss_error: float | None
    auc: float | None
    auc_error: float | None
    group_auc: float | None = None
    group_auc_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Quality of one model's probabilities.

    Attributes:
        name: of the model.
        log_loss: mean cross entropy in nats.
        log_loss_error: its standard error; None of a single row.
        auc: area under the ROC curve; None where all rows are of one class.
        normalised_entropy: the log loss as a share of that of a model which knows the positive rate alone (He et al.
            2014); None where all rows are of one class.
        mean_probability: to be compared with the positive rate.
        positive_rate: share of the rows that are clicks; rows count by their weights, as they do everywhere here.
        rows: how many were measured.
        calibration: how often rows with a given prediction were clicked.
        group_auc: mean AUC within groups of rows; None without groups, and where none has rows of both classes.
        groups: number of the groups that have rows of both classes; None without groups.
        less_first: what it is less the first model; None of the first.
    """

    name: str
    log_loss: float
    log_loss_error: float | None
    auc: float | None
    normalised_entropy: float | None
    mean_probability: float
    positive_rate: float
    rows: int
    calibration: Sequence[CalibrationBin] = ()
    group_auc: float | None = None
    groups: int | None = None
    less_first: Difference | None = None
