from typing import cast

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.search import distributions
from nasrec_automl.search.incumbents import best_first, incumbents
from nasrec_automl.space import SearchSpace


def add(study: optuna.Study, architecture: Architecture, value: float | None, **attrs: object) -> None:
    study.add_trial(
        optuna.create_trial(
            params=architecture.params,
            distributions=distributions(architecture.space),
            value=value,
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            user_attrs={f"nasrec:{name}": attr for name, attr in attrs.items()},
        )
    )


def numbers(trials: list[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def test_the_best_in_full_and_no_others(study: optuna.Study, space: SearchSpace) -> None:
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(6)]
    add(study, drawn[0], 0.6, stopped=False)
    add(study, drawn[1], 0.4, stopped=True)
    add(study, drawn[2], 0.5, stopped=False)
    add(study, drawn[3], 0.1)  # by hand
    add(study, drawn[4], None, stopped=False)
    add(study, drawn[5], 0.5, stopped=False)
    assert incumbents(study, space, 9) == [drawn[2], drawn[5], drawn[0]]
    assert incumbents(study, space, 2) == [drawn[2], drawn[5]]


def test_copies_of_one_key_are_one_rival(study: optuna.Study, space: SearchSpace) -> None:
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(3)]
    for architecture, value in ((drawn[0], 0.4), (drawn[0], 0.4), (drawn[1], 0.5), (drawn[0], 0.3), (drawn[2], 0.6)):
        add(study, architecture, value, stopped=False)
    assert incumbents(study, space, 2) == drawn[:2]


def test_where_none_is_asked_for_the_study_is_not_read(space: SearchSpace) -> None:
    class Unread:
        pass

    assert incumbents(cast(optuna.Study, Unread()), space, 0) == []


def test_an_estimate_ranks_by_its_value(study: optuna.Study, space: SearchSpace) -> None:
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(4)]
    for architecture, value, attrs in zip(
        drawn, (0.3, 0.9, 0.2, 0.8), ({"stopped": True}, {"stopped": False}, {"stopped": True}, {}), strict=True
    ):
        add(study, architecture, value, **attrs)
    assert numbers(best_first(study.get_trials())) == [2, 0, 3, 1]


def several(*values: tuple[float, float]) -> list[FrozenTrial]:
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trials([optuna.create_trial(values=pair) for pair in values])
    return study.get_trials()


def test_of_several_objectives_the_front_ranks_first() -> None:
    trials = several((0.5, 30), (0.6, 10), (0.51, 31), (0.55, 20), (0.61, 11), (0.7, 40), (0.5, 30))
    assert numbers(best_first(trials)) == [0, 6, 3, 1, 2, 4, 5]
    assert best_first([]) == []
