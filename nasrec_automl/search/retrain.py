"""The retrain study: trainings from scratch of the best architectures and the hand designs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.config_training import RetrainConfig
from nasrec_automl.config_types import in_seconds
from nasrec_automl.errors import StudyError
from nasrec_automl.randomness import rng_for, seed_for
from nasrec_automl.search.census import Census
from nasrec_automl.search.hyper import ARCHITECTURE, OPTIMIZER, Hyper, applying, default_params, retrain_distributions
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.search.local_step import step_from
from nasrec_automl.search.loop import OnTrial, work
from nasrec_automl.search.pruning import KeyedHyperband
from nasrec_automl.search.task import ENDED, Params, Proposal, Task, TrialOutcome, key_of
from nasrec_automl.search.tpe import Way, first_new_params, sample_params, tpe
from nasrec_automl.search.worker import WorkerOptions

Prune = Callable[[int, float], bool]
"""`prune(step, log_loss)` records a point of the validation curve; True means: stop, others do better.

Steps are parts of the training's schedule, from 1 on: equal ones are equally far, whatever the hyper-parameters."""

TrainCandidate = Callable[[str, Hyper, Prune], TrialOutcome]
"""`train(name, hyper, prune)`: train the candidate of that name from scratch, or raise DivergedError.

The outcome's value is the log loss, in nats, on rows that it did not learn from. Its state is PRUNED where the training
ended because `prune` said so, and only then: one that goes on after a kill records its earlier points again, and cannot
stop at these."""


def retrain(
    study: optuna.Study,
    candidates: Collection[str],
    train: TrainCandidate,
    *,
    storage: BaseStorage,
    config: RetrainConfig,
    validations: int,
    seed: int,
    taught: bool,
    halved: Sequence[str] = (),
    references: Collection[str] = (),
    count: int | None = None,
    on_trial: OnTrial | None = None,
    options: WorkerOptions | None = None,
) -> int:
    """Train candidates until the study has `config.trials` trainings, and one of each candidate at least.

    Every candidate is first trained with the default hyper-parameters, and to its end unless it is one of `halved`, so
    that candidates are compared on equal terms. Then small steps from the best training of one of the best candidates
    take turns with TPE (arXiv 2304.11127), which chooses candidate and hyper-parameters together: it cannot tell good
    settings from bad ones while all trainings have the defaults, and there may be time for few more. Hyperband prunes
    trainings that fall behind (`KeyedHyperband`). A pruned training counts: it is one of the `config.trials`, and TPE
    learns from how far it came. Any number of processes may work on one study (see `work`).

    Args:
        study: the study, from `open_study`.
        candidates: names, such as keys and `hand-mlp`; the same for as long as the study lives.
        train: trains one candidate.
        storage: the storage that holds the study.
        config: hyper-parameters, pruner, the number of trials and how long they may take together.
        validations: number of `prune` steps of a training that goes to its end.
        seed: with the number of finished trials it determines what is drawn.
        taught: whether trainings have teachers: their default hyper-parameters may differ then.
        halved: candidates that are not all trained to their end, because too little is known of them: their first
            trainings come after those of the others, in this order, and may be pruned too. The pruner is then
            successive halving, at 4, 8, 16, ... validations.
        references: candidates that the others are compared with, such as the hand designs; with a timeout they are
            trained first.
        count: how many trainings this worker does at most.
        on_trial: called after each.
        options: how to share the study.

    Returns:
        How many this worker has finished, the pruned ones included.

    Raises:
        StudyError: the database cannot be used, there is no candidate, or the study has other candidates or choices;
            ranges may differ.
        Exception: whatever `train` raises, once its trial has been failed with the reason. A DivergedError ends its
            training alone: the trial counts, as pruned, with the reason.
    """
    if not candidates:
        raise StudyError("there is nothing to retrain: expected at least one candidate")
    # A timeout may leave out what is trained last.
    first = [name for name in candidates if config.timeout is not None and name in references]
    order = [*first, *(name for name in candidates if name not in {*first, *halved}), *halved]
    task = _Retrain(
        ledger=Ledger(study, storage),
        candidates=candidates,
        train=train,
        config=config,
        validations=validations,
        seed=seed,
        taught=taught,
        halved=halved,
        order=order,
    )
    target = max(config.trials, len(candidates))
    return work(
        task,
        study,
        storage=storage,
        target=target,
        count=count,
        timeout=None if config.timeout is None else in_seconds(config.timeout),
        on_trial=on_trial,
        options=options,
    )


class _Retrain(Task):
    finished = ENDED

    def __init__(
        self,
        *,
        ledger: Ledger,
        candidates: Collection[str],
        train: TrainCandidate,
        config: RetrainConfig,
        validations: int,
        seed: int,
        taught: bool,
        halved: Sequence[str],
        order: Sequence[str],
    ) -> None:
        self.distributions = retrain_distributions(_as_chosen(ledger, candidates), config.space)
        self._ledger = ledger
        self._train = train
        self._config = config
        self.seed = seed
        self._defaults = [default_params(name, config.space, taught=taught) for name in order]
        self._check_choices()
        self._unpruned = [params for params in self._defaults if params[ARCHITECTURE] not in halved]
        self._share = "half" if halved else "third"
        pruner = KeyedHyperband(validations, reduction=2, most_brackets=1) if halved else KeyedHyperband(validations)
        ledger.study.pruner = pruner if config.pruner == "hyperband" else NopPruner()

    def key(self, params: Params) -> str | None:
        names = applying(self.distributions, params).keys()
        if not names <= params.keys():
            return None
        return key_of({name: params[name] for name in names})

    def applies(self, name: str, params: Params) -> bool:
        return name in applying(self.distributions, params)

    def propose(self, census: Census) -> Proposal | None:
        taken = census.taken
        for params in self._defaults:
            if self.key(params) not in taken:
                return Proposal(params)
        takes_step = (len(taken) - len(self._defaults)) % 2 == 0  # small steps and TPE take turns
        ways: list[Way] = [self._step] if takes_step else []
        found = first_new_params([*ways, self._by_tpe, self._at_random], self.key, taken)
        return None if found is None else Proposal(found)

    def run(self, trial: FrozenTrial) -> TrialOutcome:
        ledger, may_prune = self._ledger, all(trial.params != default for default in self._unpruned)
        note = ledger.prune(trial) if may_prune else ledger.reached(trial)
        outcome = self._train(
            trial.params[ARCHITECTURE],
            Hyper.of(trial.params, self._config.space),
            lambda step, log_loss: bool(note(step, log_loss)),
        )
        if outcome.state != TrialState.PRUNED:
            return outcome
        return replace(outcome, reason=f"pruned: not among the best {self._share} of its bracket that came as far")

    def _step(self, taken: int, attempt: int) -> Params | None:
        """A small step from the best training of a candidate.

        The candidate is the best one with probability 1/2, the next with 1/4, and so on.
        """
        best: dict[str, FrozenTrial] = {}
        names = set(_choices(self.distributions[ARCHITECTURE]) or ())
        for trial in self._ledger.trials():
            # A trial without some of the parameters, of an older study perhaps, is no place to start from.
            if trial.state == TrialState.COMPLETE and self.key(trial.params) and trial.params[ARCHITECTURE] in names:
                name = trial.params[ARCHITECTURE]
                best[name] = min(best.get(name, trial), trial, key=lambda one: one.value or 0.0)
        if not best:
            return None
        rng = rng_for("small step", self.seed, taken, attempt)
        ranked = sorted(best.values(), key=lambda trial: trial.value or 0.0)
        base = ranked[min(rng.geometric(0.5), len(ranked)) - 1].params
        whole = applying(self.distributions, base)
        moving = {name: one for name, one in whole.items() if name not in (ARCHITECTURE, OPTIMIZER)}
        found = {**base, **step_from(base, moving, rng)}
        return {name: found[name] for name in whole}

    def _by_tpe(self, taken: int, attempt: int) -> Params:
        return self._sample(tpe(seed_for("TPE of retrain", self.seed, taken, attempt), startup=len(self._defaults)))

    def _at_random(self, taken: int, attempt: int) -> Params:
        return self._sample(RandomSampler(seed_for("random training", self.seed, taken, attempt)))

    def _sample(self, sampler: BaseSampler) -> Params:
        study = self._ledger.study
        # The optimiser first: which other parameters there are depends on it.
        always = applying(self.distributions, {})
        params = sample_params(sampler, study, always)
        rest = {name: one for name, one in applying(self.distributions, params).items() if name not in params}
        return {**params, **sample_params(sampler, study, rest)}

    def _check_choices(self) -> None:
        trials = self._ledger.trials()
        for name, expected in self.distributions.items():
            found = next((trial.distributions[name] for trial in trials if name in trial.distributions), None)
            if found is not None and _choices(found) != _choices(expected):
                study = self._ledger.study.study_name
                raise StudyError(
                    f"the study {study!r} chooses {name!r} among {_choices(found) or 'a range'}, but "
                    f"{_choices(expected) or 'a range'} is expected; choices never change within a study: "
                    "choose another name for it"
                )


def _as_chosen(ledger: Ledger, candidates: Collection[str]) -> Collection[str]:
    """The candidates in the order of the study's choices, if it has the same ones: that order must never change."""
    for trial in ledger.trials():
        choices = _choices(trial.distributions.get(ARCHITECTURE)) or ()
        if {*choices} == {*candidates}:
            return choices
    return candidates


def _choices(distribution: object) -> tuple[Any, ...] | None:
    return distribution.choices if isinstance(distribution, CategoricalDistribution) else None
