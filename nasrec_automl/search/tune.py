"""The tune study: settings of the supernet's training, judged by how well its scores rank architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from nasrec_automl.config_ranking import TuneConfig
from nasrec_automl.hyper_space import Distribution
from nasrec_automl.randomness import seed_for
from nasrec_automl.search.census import Census
from nasrec_automl.search.hyper import optuna_distribution
from nasrec_automl.search.ledger import Ledger, Reached
from nasrec_automl.search.loop import OnTrial, work
from nasrec_automl.search.task import ENDED, Params, Proposal, Task, TrialOutcome, key_of
from nasrec_automl.search.tpe import first_new_params, sample_params, tpe

TUNED = ("learning_rate", "path_warm_up")
"""Settings of the supernet that are searched, by the job's names."""

_STARTUP = 5

Judge = Callable[[str, Mapping[str, float], Reached], TrialOutcome]
"""`judge(key, settings, reached)`: its value is Kendall's tau of a supernet trained with these settings."""


def tune(
    study: optuna.Study,
    judge: Judge,
    *,
    storage: BaseStorage,
    config: TuneConfig,
    start: Mapping[str, float],
    seed: int,
    on_trial: OnTrial | None = None,
) -> int:
    """Train and judge supernets until the study has `config.trials` of them.

    The first has the settings of `start`, as far as they lie within the ranges; TPE chooses the others.

    Args:
        study: one that maximises, from `open_study`.
        judge: trains and judges one supernet; killed and called again with the same key, it may go on.
        storage: the storage that holds the study.
        config: ranges and the number of trials.
        start: the job's own settings.
        seed: with the number of finished trials it determines what TPE draws.
        on_trial: called after each.

    Returns:
        How many supernets were judged; a training that diverged counts, as pruned.
    """
    task = _Tune(Ledger(study, storage), judge, config, start, seed)
    return work(task, study, storage=storage, target=config.trials, on_trial=on_trial)


def settings_of(params: Mapping[str, Any], config: TuneConfig) -> dict[str, float]:
    """A trial's settings; a setting that is no parameter has the only value of its range."""
    return {name: float(params.get(name, _range(config, name).start())) for name in TUNED}


class _Tune(Task):
    finished = ENDED

    def __init__(self, ledger: Ledger, judge: Judge, config: TuneConfig, start: Mapping[str, float], seed: int) -> None:
        searched = {name: one for name in TUNED if not (one := _range(config, name)).single}
        self.distributions = {name: optuna_distribution(one) for name, one in searched.items()}
        self._start = {name: start[name] if one.holds(start[name]) else one.start() for name, one in searched.items()}
        self._ledger = ledger
        self._judge = judge
        self._config = config
        self.seed = seed

    def key(self, params: Params) -> str | None:
        if not self.distributions.keys() <= params.keys():
            return None
        return key_of({name: params[name] for name in self.distributions})

    def propose(self, census: Census) -> Proposal | None:
        if self.key(self._start) not in census.taken:
            return Proposal(self._start)
        found = first_new_params((self._by_tpe, self._at_random), self.key, census.taken)
        return None if found is None else Proposal(found)

    def run(self, trial: FrozenTrial) -> TrialOutcome:
        key = self.key(trial.params)
        assert key is not None
        return self._judge(key, settings_of(trial.params, self._config), self._ledger.reached(trial))

    def _by_tpe(self, taken: int, attempt: int) -> Params:
        return self._sample(tpe(seed_for("TPE of tune", self.seed, taken, attempt), startup=_STARTUP))

    def _at_random(self, taken: int, attempt: int) -> Params:
        return self._sample(RandomSampler(seed_for("random settings", self.seed, taken, attempt)))

    def _sample(self, sampler: BaseSampler) -> Params:
        return sample_params(sampler, self._ledger.study, self.distributions)


def _range(config: TuneConfig, name: str) -> Distribution[float]:
    one: Distribution[float] = getattr(config, name)
    return one
