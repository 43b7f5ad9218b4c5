from __future__ import annotations

import importlib
import math
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nasrec_automl.config_training import RetrainConfig
from nasrec_automl.errors import DivergedError, StudyError
from nasrec_automl.hyper_space import HyperSpace
from nasrec_automl.search import Hyper, TrialOutcome, WorkerOptions, open_storage, open_study, retrain
from nasrec_automl.search.hyper import default_params
from nasrec_automl.search.local_step import step_from
from nasrec_automl.search.retrain import Prune

MODULE = importlib.import_module("nasrec_automl.search.retrain")  # the package has a function of this name
NAMES = ["search-1", "search-2", "hand-mlp"]
CONFIG = RetrainConfig(trials=12)
DROPOUT = CONFIG.space.dropout.start()


def with_space(**space: Any) -> RetrainConfig:
    whole = {"optimizer": ["adagrad", "adam", "sgd"], "learning_rate": {"low": 0.01, "high": 0.2}, **space}
    return RetrainConfig(trials=12, space=HyperSpace.model_validate(whole))


def final(name: str, hyper: Hyper) -> float:
    rate = {"adagrad": 0.1, "adam": 0.001, "sgd": 1.0}[hyper.optimizer]
    return 0.4 + 0.01 * NAMES.index(name) + abs(math.log10(hyper.learning_rate / rate)) + abs(hyper.dropout - DROPOUT)


def train(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
    """A curve that falls to a loss that depends on the hyper-parameters alone."""
    loss, stopped = math.inf, False
    for step in range(8):
        loss = final(name, hyper) + 0.1 * (7 - step)
        if stopped := report(step, loss):
            break
    return TrialOutcome(value=loss, state=TrialState.PRUNED if stopped else TrialState.COMPLETE, attrs={"auc": 0.7})


def run(study: optuna.Study, storage: RDBStorage, **options: Any) -> int:
    arguments: dict[str, Any] = {"storage": storage, "config": CONFIG, "validations": 40, "seed": 5, "taught": False}
    arguments |= options
    return retrain(study, arguments.pop("names", NAMES), arguments.pop("train", train), **arguments)


def finished(study: optuna.Study) -> list[tuple[dict[str, Any], float | None, TrialState]]:
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return [(trial.params, trial.value, trial.state) for trial in study.get_trials(states=states)]


def test_every_candidate_first_with_the_defaults_and_to_its_end(study: optuna.Study, storage: RDBStorage) -> None:
    run(study, storage)
    first = study.get_trials()[:3]
    assert [trial.params["architecture"] for trial in first] == NAMES
    assert {trial.params["optimizer"] for trial in first} == {"adagrad"}
    assert len({trial.params["learning_rate/adagrad"] for trial in first}) == 1
    assert {trial.state for trial in first} == {TrialState.COMPLETE}
    assert [len(trial.intermediate_values) for trial in first] == [8, 8, 8]


def test_small_steps_from_the_best_take_turns_with_tpe(study: optuna.Study, storage: RDBStorage) -> None:
    config = RetrainConfig(trials=60)
    run(study, storage, config=config)
    trials = study.get_trials()
    steps = trials[len(NAMES) :: 2]
    for trial in steps:
        before = [one for one in trials[: trial.number] if one.state == TrialState.COMPLETE]
        mine = [one for one in before if one.params["architecture"] == trial.params["architecture"]]
        base = min(mine, key=lambda one: one.value or 0.0).params
        assert trial.params["optimizer"] == base["optimizer"]
        rate = f"learning_rate/{base['optimizer']}"
        low, high = math.log(trial.distributions[rate].low), math.log(trial.distributions[rate].high)
        assert abs(math.log(trial.params[rate] / base[rate])) < 0.5 * (high - low)
    names = [trial.params["architecture"] for trial in steps]
    assert names.count("search-1") > names.count("search-2") > 0, "the better a candidate, the more often"
    assert {trial.params["optimizer"] for trial in trials[len(NAMES) + 1 :: 2]} > {"adagrad"}, "and TPE looks further"


def test_steps_find_what_tpe_does_not_find_in_few_trainings(
    study: optuna.Study, storage: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults are close to the best, as they are meant to be, and wide ranges hold little that is good."""
    config = RetrainConfig(trials=15)
    run(study, storage, config=config)
    monkeypatch.setattr(MODULE, "step_from", lambda params, *_: params)  # all known already
    alone = open_study(storage, name="alone", identity={})
    run(alone, storage, config=config)
    assert len(finished(alone)) == 15
    assert study.best_value < alone.best_value - 0.03


def test_where_no_step_leads_to_anything_new_tpe_goes_on(study: optuna.Study, storage: RDBStorage) -> None:
    rates = {"adagrad": 0.1, "adam": 0.001, "sgd": 1.0}
    config = with_space(learning_rate=rates)
    run(study, storage, config=config.model_copy(update={"trials": 50}))
    assert {(params["architecture"], params["optimizer"]) for params, _, _ in finished(study)} == {
        (name, optimizer) for name in NAMES for optimizer in rates
    }


def test_no_step_begins_at_a_training_that_lacks_a_parameter(
    study: optuna.Study, storage: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases: list[dict[str, Any]] = []

    def recorded(params: dict[str, Any], *rest: Any) -> dict[str, Any]:
        bases.append(params)
        return step_from(params, *rest)

    run(study, storage, count=3)
    older = study.get_trials()[0]
    kept = {name: value for name, value in older.params.items() if name != "embedding_decay"}
    study.add_trial(
        optuna.create_trial(
            params={**kept, "learning_rate/adagrad": 0.03},
            distributions={name: older.distributions[name] for name in kept},
            value=0.0,
        )
    )
    monkeypatch.setattr(MODULE, "step_from", recorded)
    run(study, storage, config=RetrainConfig(trials=16))
    assert len(bases) >= 6
    assert all(base.keys() == older.params.keys() for base in bases)


def test_defaults_are_never_pruned(study: optuna.Study, storage: RDBStorage) -> None:
    def slow_and_bad(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        if name != "hand-mlp":
            return train(name, hyper, report)
        # Meanwhile another worker completes more than enough trainings to prune by.
        run(open_study(storage, name="search", identity={}), storage, count=6)
        assert len(study.get_trials(states=(TrialState.COMPLETE,))) >= 3
        assert not any(report(step, 99.0) for step in range(9))
        return TrialOutcome(value=99.0, attrs={"auc": 0.7})

    run(study, storage, train=slow_and_bad, count=3)
    assert study.get_trials()[2].state == TrialState.COMPLETE


def test_candidates_that_are_halved_are_pruned_in_their_first_training_too(
    study: optuna.Study, storage: RDBStorage
) -> None:
    def long(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        loss = 0.4 + 0.01 * NAMES.index(name)
        steps = next((step for step in range(1, 9) if report(step, loss)), None)
        state = TrialState.COMPLETE if steps is None else TrialState.PRUNED
        return TrialOutcome(value=loss, state=state, attrs={"steps": steps or 8})

    run(study, storage, train=long, halved=NAMES[1:2], config=RetrainConfig(trials=3), validations=8)
    trials = study.get_trials()
    assert [trial.params["architecture"] for trial in trials] == [NAMES[0], *NAMES[2:], NAMES[1]]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    assert [len(trial.intermediate_values) for trial in trials] == [8, 8, 4]
    assert "not among the best half" in trials[2].user_attrs["nasrec:reason"]


@pytest.mark.parametrize(("timeout", "first"), [(None, NAMES), ("1h", [NAMES[2], *NAMES[:2]])])
def test_before_a_timeout_references_are_trained_first(
    study: optuna.Study, storage: RDBStorage, timeout: str | None, first: list[str]
) -> None:
    run(study, storage, references=NAMES[2:], config=RetrainConfig(trials=3, timeout=timeout))
    assert [trial.params["architecture"] for trial in study.get_trials()] == first


def test_pruned_trainings_count_and_say_why(study: optuna.Study, storage: RDBStorage) -> None:
    assert run(study, storage, config=RetrainConfig(trials=24)) == 24
    pruned = [trial for trial in study.get_trials() if trial.state == TrialState.PRUNED]
    assert pruned
    assert len(finished(study)) == 24
    for trial in pruned:
        assert trial.user_attrs["nasrec:reason"].startswith("pruned")
        assert len(trial.intermediate_values) < 8
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]


def test_what_goes_on_after_a_kill_is_pruned_by_its_end_and_not_by_what_it_tells_again(
    study: optuna.Study, storage: RDBStorage
) -> None:
    def deaf(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        """Told to stop at a point that it was past before the kill, it ends by its own patience."""
        loss = 9.0 if len(told) else final(name, hyper)
        answers = [report(step, loss) for step in range(8)]
        told.extend([name] * any(answers))
        return TrialOutcome(value=loss, attrs={"auc": 0.7})

    run(study, storage, config=RetrainConfig(trials=12))
    told = ["worse than all before"]
    run(study, storage, train=deaf, config=RetrainConfig(trials=18))
    assert len(told) > 1, "or this test shows nothing"
    assert {trial.state for trial in study.get_trials()[12:]} == {TrialState.COMPLETE}


def test_at_least_one_training_of_each_candidate(study: optuna.Study, storage: RDBStorage) -> None:
    assert run(study, storage, config=RetrainConfig(trials=1)) == 3


def test_more_trials_continue_the_study(study: optuna.Study, storage: RDBStorage) -> None:
    run(study, storage)
    assert run(study, storage, config=RetrainConfig(trials=14)) == 2


def test_attributes_of_the_training_are_written(study: optuna.Study, storage: RDBStorage) -> None:
    run(study, storage, count=1)
    assert study.get_trials()[0].user_attrs["nasrec:auc"] == 0.7


@pytest.mark.parametrize("stop", range(1, 12, 3))
def test_interrupted_and_resumed_it_ends_as_if_unbroken(
    study: optuna.Study, storage: RDBStorage, url: str, stop: int
) -> None:
    calls = 0

    def interrupted(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        nonlocal calls
        calls += 1
        if calls == stop:
            report(0, 1.0)
            raise KeyboardInterrupt
        return train(name, hyper, report)

    run(study, storage)
    broken = open_study(storage, name="broken", identity={})
    with pytest.raises(KeyboardInterrupt):
        run(broken, storage, train=interrupted)
    again = open_storage(url)
    run(open_study(again, name="broken", identity={}), again)
    assert finished(broken) == finished(study)


WIDE = with_space(dropout={"low": 0.0, "high": 0.5, "default": 0.4})


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(WIDE, with_space(dropout={"low": 0.0, "high": 0.3}), id="narrower"),
        pytest.param(WIDE, with_space(dropout=[0.1]), id="a single value"),
        pytest.param(with_space(dropout=[0.1]), WIDE, id="a range at last"),
    ],
)
def test_an_interrupted_training_that_other_ranges_do_not_hold_is_not_tried_again(
    study: optuna.Study, storage: RDBStorage, first: RetrainConfig, then: RetrainConfig
) -> None:
    def interrupted(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, storage, train=interrupted, config=first)
    run(study, storage, config=then)
    keys = [trial.user_attrs["nasrec:key"] for trial in study.get_trials()[1:]]
    assert len(set(keys)) == len(finished(study)) == len(keys) == then.trials


def test_another_seed_is_another_study(study: optuna.Study, storage: RDBStorage) -> None:
    run(study, storage)
    other = open_study(storage, name="other", identity={})
    run(other, storage, seed=6)
    assert finished(other) != finished(study)


def test_a_training_that_diverges_counts_as_the_worst(study: optuna.Study, storage: RDBStorage) -> None:
    def diverges(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        if name == "search-1":
            raise DivergedError("step 3 of 9: the loss is nan")
        return TrialOutcome(value=0.5, attrs={"auc": 0.7})

    assert run(study, storage, train=diverges, config=RetrainConfig(trials=3)) == 3
    trial = study.get_trials()[0]
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["nasrec:reason"] == "the training diverged at step 3 of 9: the loss is nan"
    assert [t.state for t in study.get_trials()[1:]] == [TrialState.COMPLETE] * 2


def test_an_exception_fails_the_trial_and_passes_on(study: optuna.Study, storage: RDBStorage) -> None:
    def broken(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(study, storage, train=broken)
    assert study.get_trials()[0].user_attrs["nasrec:reason"] == "RuntimeError: out of memory"


def test_a_worker_that_was_taken_for_dead_goes_on(study: optuna.Study, storage: RDBStorage) -> None:
    def suspended(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        if len(study.get_trials()) == 1:
            study.tell(0, state=TrialState.FAIL)
        return train(name, hyper, report)

    assert run(study, storage, train=suspended, config=RetrainConfig(trials=3)) == 3
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL, *[TrialState.COMPLETE] * 3]


def test_an_enqueued_training_has_the_learning_rate_of_its_optimiser_alone(
    study: optuna.Study, storage: RDBStorage
) -> None:
    study.enqueue_trial({"architecture": "search-2", "optimizer": "adam", "learning_rate/adam": 0.02})
    run(study, storage, config=with_space())
    first = study.get_trials()[0]
    assert first.state == TrialState.COMPLETE
    assert first.params.items() >= {"architecture": "search-2", "optimizer": "adam", "learning_rate/adam": 0.02}.items()
    assert [name for name in first.params if name.startswith("learning_rate")] == ["learning_rate/adam"]


def test_an_enqueued_training_with_a_number_out_of_its_range_ends_nothing(
    study: optuna.Study, storage: RDBStorage
) -> None:
    study.enqueue_trial({"architecture": "hand-mlp", "dropout": 5.0})
    assert run(study, storage, config=RetrainConfig(trials=4)) == 4
    first = study.get_trials()[0]
    assert first.state == TrialState.FAIL
    assert "dropout is 5.0, but must be from" in first.user_attrs["nasrec:reason"]


def test_an_enqueued_number_may_be_text_and_has_the_key_of_the_number(study: optuna.Study, storage: RDBStorage) -> None:
    for rate in ("2e-2", 0.02):  # PyYAML reads 2e-2 as text
        params = default_params("search-2", with_space().space, taught=False)
        study.enqueue_trial({**params, "learning_rate/adagrad": rate})
    assert run(study, storage, config=with_space()) == with_space().trials
    first, second = study.get_trials()[:2]
    assert first.state == TrialState.COMPLETE
    assert first.params["learning_rate/adagrad"] == 0.02
    assert second.user_attrs["nasrec:reason"] == f"the study has the key {first.user_attrs['nasrec:key']} already"


def test_an_enqueued_training_with_unknown_names_fails_with_them(study: optuna.Study, storage: RDBStorage) -> None:
    study.enqueue_trial({"architecture": "search-2", "optimizer": "adam", "learning_rate": 0.02, "dropuot": 0.1})
    run(study, storage, config=with_space())
    unknown = study.get_trials()[0]
    assert unknown.state == TrialState.FAIL
    reason = "the enqueued trial has parameters that do not fit: 'dropuot', 'learning_rate' are none of architecture, "
    assert unknown.user_attrs["nasrec:reason"].startswith(reason)


def test_an_enqueued_learning_rate_of_an_optimiser_that_is_not_used_fails(
    study: optuna.Study, storage: RDBStorage
) -> None:
    for seed in range(4):  # what is left open is drawn
        study.enqueue_trial({"architecture": f"search-{1 + seed % 2}", "learning_rate/adam": 0.02 + seed / 100})
    study.enqueue_trial({"architecture": "search-2", "optimizer": "adam", "learning_rate/adagrad": 0.05})
    run(study, storage, config=with_space())
    asked = study.get_trials()[:5]
    for trial in asked:
        if trial.state == TrialState.COMPLETE:
            assert trial.params["learning_rate/adam"] == trial.system_attrs["fixed_params"]["learning_rate/adam"]
        else:
            assert "does not apply beside {" in trial.user_attrs["nasrec:reason"]
    assert asked[-1].state == TrialState.FAIL


@pytest.mark.parametrize("taught", [False, True])
def test_candidates_with_teachers_begin_otherwise(study: optuna.Study, storage: RDBStorage, taught: bool) -> None:
    run(study, storage, config=RetrainConfig(trials=3), taught=taught)
    begun = {trial.params["dropout"] for trial in study.get_trials()}
    assert begun == {CONFIG.space.dropout.start(taught=taught)}
    assert CONFIG.space.dropout.start(taught=True) < CONFIG.space.dropout.start()


def test_a_candidate_that_cannot_be_trained_is_given_up(study: optuna.Study, storage: RDBStorage) -> None:
    def broken(name: str, hyper: Hyper, report: Prune) -> TrialOutcome:
        if name == "search-2" and hyper.dropout == DROPOUT:
            raise RuntimeError
        return train(name, hyper, report)

    options = WorkerOptions(retries=1)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            run(study, storage, train=broken, options=options)
    run(study, storage, train=broken, options=options)
    assert len(finished(study)) == 12


def test_ranges_of_single_values_end_when_they_are_used_up(study: optuna.Study, storage: RDBStorage) -> None:
    config = RetrainConfig(trials=50, space=HyperSpace.model_validate({"learning_rate": {"low": 0.1, "high": 0.1}}))
    assert run(study, storage, config=config) == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"names": [*NAMES, "search-3"]}, "'architecture' among"),
        ({"config": with_space(batch_size=[64, 128])}, "'batch_size' among"),
        ({"config": with_space(optimizer=["adagrad", "sgd"])}, "'optimizer' among"),
        (
            {"config": with_space(batch_size={"low": 64, "high": 128})},
            r"'batch_size' among \(.*\), but a range is expected",
        ),
    ],
)
def test_choices_never_change_within_a_study(
    study: optuna.Study, storage: RDBStorage, options: dict[str, Any], named: str
) -> None:
    run(study, storage, count=1)
    with pytest.raises(StudyError, match=named):
        run(study, storage, **options)
    assert len(study.get_trials()) == 1


def test_the_same_candidates_in_another_order_go_on(study: optuna.Study, storage: RDBStorage) -> None:
    run(study, storage, count=4)
    assert run(study, storage, names=NAMES[::-1]) == CONFIG.trials - 4
    assert {trial.distributions["architecture"].choices for trial in study.get_trials()} == {tuple(NAMES)}


def test_choices_count_wherever_they_were_first_made(study: optuna.Study, storage: RDBStorage) -> None:
    study.add_trial(optuna.create_trial(value=1.0))  # somebody's own, without any parameter
    run(study, storage, count=1)
    with pytest.raises(StudyError, match=r"chooses 'architecture' among \('search-1'"):
        run(study, storage, names=["search-9"])


def test_nothing_to_retrain(study: optuna.Study, storage: RDBStorage) -> None:
    with pytest.raises(StudyError, match="nothing to retrain"):
        run(study, storage, names=[])
