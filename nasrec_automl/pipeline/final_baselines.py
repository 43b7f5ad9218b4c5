"""The baselines of a run: what the result puts beside the winner."""

from __future__ import annotations

from dataclasses import dataclass

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, VALIDATION, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import Baseline
from nasrec_automl.evaluation.boosting import fit_boosting, tune_boosting
from nasrec_automl.evaluation.logistic import fit_logistic, tune_logistic
from nasrec_automl.pipeline.candidates import choice_parts
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder

BASELINE_ROWS = 1_000_000
"""Most rows of a fit, which holds them in memory: two kilobytes for a row of Criteo's."""

ENDING_ROWS = 100_000
"""Most rows that say when trees end: they are looked at after each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedBaseline:
    """A baseline that has learned from validation rows too.

    Attributes:
        name: what people call it.
        rows: how many it has learned from.
        validation: log loss and AUC of what had learned from train and head rows alone, on the rows of the choice.
        model: what is measured on test.
    """

    name: str
    rows: int
    validation: dict[str, float]
    model: Baseline


def final_baselines(run: RunFolder, data: PreparedData, *, tell: Tell = silent) -> list[FittedBaseline]:
    """Boosted trees and a logistic regression, with settings that the hpo part chose.

    As in the last trainings of the winner, the hpo part says when the trees end. The regression learns from it too.

    Args:
        run: whose winner is chosen.
        data: of the run.
        tell: told of what is fitted.
    """
    schema, seed = data.schema(), run.job.seed
    hpo, choice = data.part(Part.HPO), data.part(*choice_parts(run))

    def some(*parts: Part) -> Rows:
        return data.part(*parts).sample(BASELINE_ROWS, seed)

    tell("fits gradient boosting")
    ending = hpo.sample(ENDING_ROWS, seed)
    trees, rows = tune_boosting(some(*TRAINING), ending, schema, seed=seed), some(*FINAL)
    boosting = FittedBaseline(
        name="gradient boosting",
        rows=len(rows),
        validation=trees.measure(choice).quality,
        model=fit_boosting(rows, ending, schema, trees.settings, seed=seed),
    )
    tell("fits logistic regression")
    line, rows = tune_logistic(some(*TRAINING), hpo, schema, seed=seed), some(*TRAINING, *VALIDATION)
    logistic = FittedBaseline(
        name="logistic regression",
        rows=len(rows),
        validation=line.measure(choice).quality,
        model=fit_logistic(rows, schema, strength=line.strength),
    )
    return [boosting, logistic]
