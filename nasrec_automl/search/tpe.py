"""TPE as both studies over hyper-parameters ask it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState


def tpe(seed: int, *, startup: int) -> TPESampler:
    """A fresh sampler (arXiv 2304.11127) for every trial: what it draws depends on the study, not on who draws.

    Args:
        seed: of the trial.
        startup: finished trials before which it draws at random.
    """
    return TPESampler(seed=seed, constant_liar=False, n_startup_trials=startup)


def sample_params(sampler: TPESampler, study: optuna.Study, wanted: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Ask it for parameters, without writing a trial.

    Args:
        sampler: from `tpe`: without a constant liar it only looks at the trials before its own.
        study: the study.
        wanted: the parameters.
    """
    trial = optuna.create_trial(state=TrialState.RUNNING)
    # A study keeps the trials that a sampler has read until the next `ask` or `tell`, of which there is none
    # here; a copy has the same storage and begins without.
    study = copy.copy(study)
    sampler.before_trial(study, trial)
    relative = sampler.infer_relative_search_space(study, trial)
    # What has another range today than in the study is drawn by itself, from today's.
    params = sampler.sample_relative(study, trial, {k: v for k, v in relative.items() if wanted.get(k) == v})
    for name, distribution in wanted.items():
        if name not in params:
            params[name] = sampler.sample_independent(study, trial, name, distribution)
    return {name: params[name] for name in wanted}
