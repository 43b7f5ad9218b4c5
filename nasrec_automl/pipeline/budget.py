"""The job's budget. Needs neither NNI nor Optuna."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache, lru_cache

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import LATENCY, Budget
from nasrec_automl.config import Job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.latency import SubnetLatency
from nasrec_automl.pipeline.files import read_json, write_json_once
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace

_KEPT = 8
"""Budgets that a process keeps: of the runs that a notebook compares, some with several budgets."""


def job_budget(run: RunFolder) -> Budget:
    """The budget of a run whose data are prepared.

    Costs are those of a model with the job's embedding width and whole tables, also where the retrain stage searches
    these, and with LayerNorm where a training may have it.

    Where the job limits latency, or minimises it, a key is measured once in the run, by whoever asks first: the folder
    keeps what was found, so that a search goes on alike after a kill, and all stages and workers agree.
    """
    return _budget(run.job.model_dump_json(), PreparedData.open(run.data).fingerprint)


def left_out_designs(space: SearchSpace, budget: Budget) -> list[str]:
    """Names of the hand designs that are over the budget."""
    return [name for name, design in hand_designs(space).items() if not budget.admits(design)]


@lru_cache(maxsize=_KEPT)
def _budget(text: str, fingerprint: str) -> Budget:
    """One object a process, which remembers latencies. The job's text and the data's fingerprint are the cache's key.

    The schema is not: it takes all vocabularies to make it.
    """
    run = RunFolder(Job.model_validate_json(text))
    config, schema = run.job.budget, PreparedData.open(run.data).schema(run.job.embedding_dim)
    is_measured = config.latency_ms is not None or LATENCY in run.job.search.objectives
    return Budget(
        schema,
        macs=config.macs,
        parameters=config.parameters,
        latency_ms=config.latency_ms,
        layer_norm=run.job.retrain.may_layer_norm,
        latency=_noted_latency(run, schema) if is_measured else None,
    )


def _noted_latency(run: RunFolder, schema: FeatureSchema) -> Callable[[Architecture], float]:
    job = run.job

    @cache
    def measure() -> SubnetLatency:  # when the first is measured: where all are, the job's device need not be there
        return SubnetLatency(
            schema, batch_size=job.budget.batch_size, layer_norm=job.retrain.may_layer_norm, device=job.device
        )

    def median(architecture: Architecture) -> float:
        path = run.latency(architecture.key)
        if not path.is_file():
            # Workers begin together, and then all measure the hand designs. What the folder keeps counts for all.
            write_json_once(path, asdict(measure()(architecture)))
        return float(read_json(path)["median_ms"])

    return median
