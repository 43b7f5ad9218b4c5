from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from nasrec_automl.config_ranking import TuneConfig
from nasrec_automl.errors import DivergedError
from nasrec_automl.search import TrialOutcome, open_storage, open_study
from nasrec_automl.search.ledger import Reached
from nasrec_automl.search.tune import settings_of, tune

START = {"learning_rate": 0.12, "path_warm_up": 0.2}
CONFIG = TuneConfig(trials=7)


def judge(key: str, settings: Mapping[str, float], reached: Reached | None = None) -> TrialOutcome:
    """The best at a rate of 0.3 and no warm-up."""
    tau = 0.8 - abs(settings["learning_rate"] - 0.3) - settings["path_warm_up"]
    return TrialOutcome(value=tau, attrs={"architectures": 9})


@pytest.fixture
def tau_study(storage: RDBStorage) -> optuna.Study:
    return open_study(storage, name="tau", identity={}, direction="maximize")


def run(study: optuna.Study, storage: RDBStorage, **options: Any) -> int:
    arguments: dict[str, Any] = {"storage": storage, "config": CONFIG, "start": START, "seed": 3, **options}
    return tune(study, arguments.pop("judge", judge), **arguments)


def finished(study: optuna.Study) -> list[tuple[dict[str, Any], float | None]]:
    return [(t.params, t.value) for t in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))]


def test_the_jobs_own_settings_come_first(tau_study: optuna.Study, storage: RDBStorage) -> None:
    assert run(tau_study, storage) == 7
    trials = tau_study.get_trials()
    assert trials[0].params == START
    assert len({tuple(trial.params.values()) for trial in trials}) == 7
    assert tau_study.best_value == max(trial.value for trial in trials if trial.value is not None)
    assert trials[0].user_attrs["nasrec:architectures"] == 9


def test_settings_out_of_range_give_way_to_the_ranges_own(tau_study: optuna.Study, storage: RDBStorage) -> None:
    config = TuneConfig.model_validate(
        {"trials": 1, "learning_rate": {"low": 0.2, "high": 0.4}, "path_warm_up": {"low": 0, "high": 0.1}}
    )
    run(tau_study, storage, config=config)
    assert tau_study.get_trials()[0].params == pytest.approx({"learning_rate": 0.3, "path_warm_up": 0.05})


def test_a_single_value_is_no_parameter(tau_study: optuna.Study, storage: RDBStorage) -> None:
    config = TuneConfig.model_validate({"trials": 9, "learning_rate": [0.1, 0.2], "path_warm_up": 0.3})
    assert run(tau_study, storage, config=config) == 2, "there are no more"
    assert {tuple(trial.params) for trial in tau_study.get_trials()} == {("learning_rate",)}
    settings = [settings_of(trial.params, config) for trial in tau_study.get_trials()]
    assert {one["path_warm_up"] for one in settings} == {0.3}


def test_all_choices_are_tried_whatever_is_good(tau_study: optuna.Study, storage: RDBStorage) -> None:
    choices = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    config = TuneConfig.model_validate({"trials": 50, "learning_rate": choices, "path_warm_up": [0, 0.2, 0.4]})
    assert run(tau_study, storage, config=config) == 18, "there are no more"


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_interrupted_and_resumed_it_ends_as_if_unbroken(
    tau_study: optuna.Study, storage: RDBStorage, url: str, stop: int
) -> None:
    keys: list[str] = []

    def interrupted(key: str, settings: Mapping[str, float], reached: Reached) -> TrialOutcome:
        keys.append(key)
        if len(keys) == stop:
            raise KeyboardInterrupt
        return judge(key, settings)

    run(tau_study, storage)
    broken = open_study(storage, name="broken", identity={}, direction="maximize")
    with pytest.raises(KeyboardInterrupt):
        run(broken, storage, judge=interrupted)
    again = open_storage(url)
    run(open_study(again, name="broken", identity={}, direction="maximize"), again, judge=interrupted)
    assert keys[stop] == keys[stop - 1], "the broken one is tried again, by the same key"
    assert finished(broken) == finished(tau_study)


def test_more_trials_go_on(tau_study: optuna.Study, storage: RDBStorage) -> None:
    run(tau_study, storage)
    assert run(tau_study, storage, config=TuneConfig(trials=9)) == 2


def test_a_supernet_that_diverges_counts_and_says_why(tau_study: optuna.Study, storage: RDBStorage) -> None:
    def diverges(key: str, settings: Mapping[str, float], reached: Reached) -> TrialOutcome:
        if settings == START:
            raise DivergedError("step 3: the loss is nan")
        return judge(key, settings)

    assert run(tau_study, storage, judge=diverges, config=TuneConfig(trials=3)) == 3
    first = tau_study.get_trials()[0]
    assert (first.state, first.value) == (TrialState.PRUNED, None)
    assert first.user_attrs["nasrec:reason"] == "the training diverged at step 3: the loss is nan"
