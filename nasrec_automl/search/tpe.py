"""Drawing hyper-parameters by TPE or at random without writing a trial, for the retrain and the tune study."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from nasrec_automl.search.task import Params

_ATTEMPTS = 20
"""Proposals of one way that may be known already before the next is tried: its ranges may be used up."""

_LAST_ATTEMPTS = 500
"""Those of the last way, after which all ranges count as used up."""

Way = Callable[[int, int], Params | None]
"""`way(taken, attempt)` proposes parameters, from how many keys are taken and which attempt this is; None where it has
none."""


def tpe(seed: int, *, startup: int) -> TPESampler:
    """A TPE sampler (arXiv 2304.11127), made anew for every trial so that its draws depend on the study alone.

    Args:
        seed: the trial's seed.
        startup: number of finished trials before which it draws at random.
    """
    return TPESampler(seed=seed, constant_liar=False, n_startup_trials=startup)


def first_new_params(ways: Sequence[Way], key: Callable[[Params], str | None], taken: Set[str]) -> Params | None:
    """The first parameters that are new; None where no way leads to any.

    Args:
        ways: ways to propose parameters, tried in this order, each several times before the next: where TPE only
            repeats choices that were good, random draws may find something new.
        key: computes the key of parameters.
        taken: keys that are not new.
    """
    for way in ways:
        for attempt in range(_LAST_ATTEMPTS if way is ways[-1] else _ATTEMPTS):
            params = way(len(taken), attempt)
            if params is not None and key(params) not in taken:
                return params
    return None


def sample_params(sampler: BaseSampler, study: optuna.Study, wanted: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Ask a sampler for parameters, without writing a trial.

    Args:
        sampler: a sampler that only looks at trials before its own: one from `tpe`, or Optuna's `RandomSampler`.
        study: the study.
        wanted: distributions of the parameters to draw.
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
