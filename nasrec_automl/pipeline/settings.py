"""What of a job the outcomes of its studies depend on, as the run folder holds a stage to it."""

from __future__ import annotations

import json
from typing import Any

from nasrec_automl.budget import LATENCY
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.digest import digest
from nasrec_automl.pipeline.earlier import continued
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import training_lengths

_AMONG_SEVERAL = {"top_k", "trials", "timeout", "pruner"}
"""What of the retrain section no training depends on by itself."""

_OF_TEACHERS = {"teachers", "teacher_share"}
"""What trainings by labels alone do not depend on."""

_OF_FINAL = {"final_seeds"}
"""What the final stage alone reads of the retrain section."""


def search_settings(run: RunFolder) -> dict[str, Any]:
    """The search section, but for what may grow, architectures and timeout, and what a latency that counts is of."""
    job = run.job
    section = job.search.model_dump(mode="json", exclude={"architectures", "timeout"})
    timed = {
        "device": job.device,
        "budget.batch_size": job.budget.batch_size,
        "whether a training may have LayerNorm": job.retrain.may_layer_norm,
    }
    return {
        **{f"search.{key}": value for key, value in section.items()},
        **(timed if LATENCY in job.search.objectives else {}),
        "precision": job.precision,
        **continued(run, "search"),
    }


def retrain_settings(run: RunFolder) -> dict[str, Any]:
    """The retrain section, but for what may grow, trainings and timeout, and for what the final stage alone reads."""
    section = run.job.retrain.model_dump(mode="json", exclude={"trials", "timeout", "space", *_OF_FINAL})
    space = run.job.retrain.space.model_dump(mode="json", exclude_none=True)
    return {
        **{f"retrain.{key}": value for key, value in {**section, **training_lengths(run)}.items()},
        **{f"retrain.space.{key}": value for key, value in space.items()},
        "precision": run.job.precision,
    }


def final_settings(run: RunFolder) -> dict[str, Any]:
    """What the final stage alone reads of the retrain section."""
    section = run.job.retrain.model_dump(mode="json", include=_OF_FINAL)
    return {f"retrain.{key}": value for key, value in section.items()}


def training_settings(run: RunFolder) -> dict[str, Any]:
    """What one training by labels alone with the default hyper-parameters depends on, of the retrain section."""
    beside = {f"retrain.{name}" for name in (*_AMONG_SEVERAL, *_OF_TEACHERS)}
    return {name: value for name, value in retrain_settings(run).items() if name not in beside}


def training_digest(run: RunFolder) -> str:
    """Digest of all that one such training depends on, its rows too, but for architecture and hyper-parameters."""
    job, data = run.job, PreparedData.open(run.data)
    settings = [training_settings(run), job.embedding_dim, job.seed, data.fingerprint]
    return digest(json.dumps(settings, sort_keys=True))
