from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nasrec_automl.search.distributions import architecture_of, distributions, suggest
from nasrec_automl.space import SearchSpace, load_search_space


def test_every_label_with_its_choices_in_the_spaces_order() -> None:
    space = load_search_space("nasrec-full")
    found = distributions(space)
    assert {label: d.choices for label, d in found.items()} == dict(space.labels)


def test_parameters_survive_a_study(space: SearchSpace, study: optuna.Study) -> None:
    architecture = space.random(np.random.default_rng(0))
    wanted = distributions(space)
    study.add_trial(optuna.create_trial(params=architecture.params, distributions=wanted, value=1.0))
    found = study.get_trials()[0].params
    assert found == architecture.params
    assert {label: type(value) for label, value in found.items()} == {
        label: type(value) for label, value in architecture.params.items()
    }


def test_parameters_beside_the_labels_are_left_out(space: SearchSpace) -> None:
    architecture = space.random(np.random.default_rng(0))
    assert architecture_of({**architecture.params, "mine": 3}, space) == architecture


def test_incomplete_or_foreign_parameters_are_no_architecture(space: SearchSpace) -> None:
    params = dict(space.random(np.random.default_rng(0)).params)
    assert architecture_of({**params, "block1/dense_dim": 17}, space) is None
    del params["block1/dense_dim"]
    assert architecture_of(params, space) is None


@pytest.mark.parametrize(
    ("distribution", "enqueued", "value"),
    [
        (FloatDistribution(1e-3, 0.6), "1e-1", 0.1),
        (IntDistribution(2, 8), "4", 4),
        (CategoricalDistribution((False, True)), 1, True),
    ],
)
def test_an_enqueued_value_is_of_the_distributions_type(
    distribution: BaseDistribution, enqueued: object, value: object
) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": enqueued})
    found = suggest(study.ask(), "x", distribution)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [(FloatDistribution(0.0, 0.6), 0.6, (0.61, -0.1)), (IntDistribution(2, 8), 2, (1, 9))],
)
def test_an_enqueued_number_keeps_to_its_range(
    distribution: BaseDistribution, inside: float, outside: tuple[float, ...]
) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": inside})
    assert suggest(study.ask(), "x", distribution) == inside
    for value in outside:
        study.enqueue_trial({"x": value})
        with pytest.raises(ValueError, match=rf"x is {value}, but must be from \S+ to \S+$"):
            suggest(study.ask(), "x", distribution)
