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
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.schema import FeatureSchema


def final_baseline(run: RunFolder, data: PreparedData) -> tuple[Baseline, dict[str, Any]]:
    """A logistic regression on all rows but test, and what the result says of it but for its quality on test.

    Both of its fits stay in `run.final_trainings`, until the final stage has its result: a later call takes them.
    """
    schema, seed = data.schema(), run.job.seed
    of_tuned, of_fitted = baseline_files(run)

    def some(*parts: Part) -> Rows:
        return data.part(*parts).sample(BASELINE_ROWS, seed)

    tuned = _kept_or_fitted(
        of_tuned,
        schema,
        lambda: tune_baseline(some(*TRAINING), data.part(Part.HPO), schema, seed=seed),
    )
    fitted = _kept_or_fitted(
        of_fitted,
        schema,
        lambda: fit_baseline(some(*TRAINING, *VALIDATION), schema, strength=tuned.strength),
    )
    metrics = tuned.measure(data.part(*choice_parts(run)))
    return fitted, {
        "name": "logistic regression",
        "rows": min(data.rows(*TRAINING, *VALIDATION), BASELINE_ROWS),
        "validation": metrics.quality,
    }


def baseline_files(run: RunFolder) -> tuple[Path, Path]:
    """Where the two fits are kept: the one that was tuned, without validation rows, and the one with them."""
    return run.final_trainings / "baseline-tuned.npz", run.final_trainings / "baseline.npz"


def _kept_or_fitted(path: Path, schema: FeatureSchema, fit: Callable[[], Baseline]) -> Baseline:
    """What a call before has left, or a new fit, which is left for the next one."""
    if path.is_file():
        return Baseline.load(path, schema)
    baseline = fit()
    path.parent.mkdir(parents=True, exist_ok=True)
    baseline.save(path)
    return baseline
