"""The baseline of a run: the logistic regression that the result puts beside the winner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.baseline import BASELINE_ROWS, Baseline, fit_baseline, tune_baseline
from nasrec_automl.pipeline.candidates import choice_parts
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.schema import FeatureSchema


def final_baseline(run: RunFolder, data: PreparedData) -> tuple[Baseline, dict[str, Any]]:
    """A logistic regression on all rows but test, and what the result says of it but for its quality on test.

    Both of its fits stay in `run.final_trainings`, until the final stage has its result: a later call takes them.
    """
    schema, seed, folder = data.schema(), run.job.seed, run.final_trainings

    def some(*parts: Part) -> Rows:
        return data.part(*parts).sample(BASELINE_ROWS, seed)

    tuned = _kept(
        folder / "baseline-tuned.json",
        schema,
        lambda: tune_baseline(some(*TRAINING), data.part(Part.HPO), schema, seed=seed),
    )
    fitted = _kept(
        folder / "baseline.json",
        schema,
        lambda: fit_baseline(some(*TRAINING, *VALIDATION), schema, strength=tuned.strength),
    )
    metrics = tuned.measure(data.part(*choice_parts(run)))
    return fitted, {
        "name": "logistic regression",
        "rows": min(sum(data.rows(part) for part in (*TRAINING, *VALIDATION)), BASELINE_ROWS),
        "validation": {"log_loss": metrics.log_loss, "auc": metrics.auc},
    }


def _kept(path: Path, schema: FeatureSchema, fit: Callable[[], Baseline]) -> Baseline:
    """What a call before has left, or a new fit, which is left for the next one."""
    found = read_json(path)
    if found is not None:
        return Baseline.of_dict(found, schema)
    baseline = fit()
    write_json(path, baseline.to_dict())
    return baseline
