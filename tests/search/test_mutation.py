from __future__ import annotations

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from nasrec_automl.search.mutation import mutate_params, mutations


def test_the_papers_number_of_mutations() -> None:
    assert [mutations(g, 240) for g in (0, 47, 48, 49, 239, 240)] == [6, 5, 5, 4, 1, 1]
    assert {mutations(g, 10) for g in range(10)} == {1}


def test_at_most_so_many_parameters_change() -> None:
    study = optuna.create_study()
    trial = optuna.create_trial(state=TrialState.RUNNING)
    wanted = {name: CategoricalDistribution(range(100)) for name in "abcdefgh"}
    parent = dict.fromkeys(wanted, 50)
    changed = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        child = mutate_params(study, trial, wanted, parent=parent, times=2, rng=rng)
        different = {name for name in wanted if child[name] != parent[name]}
        assert 0 <= len(different) <= 2
        changed |= different
    assert changed == set(wanted)


def test_what_the_parent_lacks_is_drawn() -> None:
    study = optuna.create_study()
    trial = optuna.create_trial(state=TrialState.RUNNING)
    wanted = {"a": CategoricalDistribution((1, 2)), "b": CategoricalDistribution((3, 4))}
    child = mutate_params(study, trial, wanted, parent={"a": 1}, times=0, rng=np.random.default_rng(0))
    assert child["a"] == 1
    assert child["b"] in (3, 4)
