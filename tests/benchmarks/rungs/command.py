"""`python -m tests.benchmarks rungs RUN...`: how early the trainings of a retrain stage say how they will end.

Kendall's tau, over the trainings of a run that went to their end, between the log loss at a validation and the best
one of the whole training; the mean over the runs. A pruner that looks earlier than trainings have an order prunes by
chance. Those that it ended are not among them: `retrain.pruner: none` keeps all.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.ranking import kendall_tau

VALIDATIONS = (1, 2, 4, 8, 16, 32)
FEWEST = 4
"""Trainings of a run; fewer have no order to speak of."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks rungs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="JOB_OR_RUN", help="runs of one data set")
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    states = (TrialState.COMPLETE,)
    runs = [
        begun_study(RunFolder.open(path), "retrain").get_trials(deepcopy=False, states=states) for path in options.runs
    ]
    table = Table(title=f"{len(runs)} runs" if len(runs) > 1 else None, title_justify="left")
    for name in ("validations", "runs", "trainings", "Kendall's tau with the end"):
        table.add_column(name, justify="right")
    for validation in VALIDATIONS:
        orders = [tau_at(trials, validation) for trials in runs]
        known = [order for order in orders if order is not None]
        if known:
            trainings = sum(count for count, _ in known)
            mean = float(np.mean([tau for _, tau in known]))
            table.add_row(str(validation), str(len(known)), str(trainings), f"{mean:.2f}")
    Console().print(table)


def tau_at(trials: Sequence[FrozenTrial], validation: int) -> tuple[int, float] | None:
    """How many trainings had this validation and how it orders them; None where they are too few."""
    values = [
        (trial.intermediate_values[validation], trial.value)
        for trial in trials
        if validation in trial.intermediate_values and trial.value is not None
    ]
    if len(values) < FEWEST:
        return None
    at, end = np.array(values).T
    return len(values), kendall_tau(at, end)
