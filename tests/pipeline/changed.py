"""A run whose job says something else."""

from __future__ import annotations

from nasrec_automl.pipeline.run_folder import RunFolder


def changed(run: RunFolder, section: str, **values: object) -> RunFolder:
    """The run with other values in one section of its job, in the same folder."""
    before = getattr(run.job, section)
    return RunFolder(run.job.model_copy(update={section: before.model_copy(update=values)}))
