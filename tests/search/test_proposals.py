from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from nasrec_automl.errors import StudyError
from nasrec_automl.search import distributions, proposals, propose
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import SearchSpace, load_search_space


@pytest.mark.parametrize(
    "sampler", [RandomSampler(seed=0), TPESampler(seed=0, constant_liar=False, n_startup_trials=4)]
)
def test_optunas_samplers_propose_new_architectures_and_write_nothing(space: SearchSpace, sampler: BaseSampler) -> None:
    study = optuna.create_study()
    seen: set[str] = set()
    for value in range(12):
        found = propose(sampler, study, space, seen=seen)
        assert found is not None
        assert found.key not in seen
        assert len(study.get_trials()) == value
        seen.add(found.key)
        study.add_trial(
            optuna.create_trial(params=found.params, distributions=distributions(space), value=float(value))
        )


def test_a_sampler_that_writes_to_its_trial_is_refused(space: SearchSpace) -> None:
    study = optuna.create_study()
    sampler = TPESampler(seed=0, n_startup_trials=1)
    architecture = space.random(np.random.default_rng(0))
    for _ in range(3):
        study.add_trial(optuna.create_trial(params=architecture.params, distributions=distributions(space), value=1.0))
    with pytest.raises(StudyError, match="constant_liar=False"):
        propose(sampler, study, space, seen=set())


def test_a_small_space_is_listed_to_its_last_key(tiny: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "_DRAWS", 0)
    everything = {tiny.random(np.random.default_rng(seed)).key for seed in range(400)}
    assert len(everything) == 16
    for last in sorted(everything):
        found = unseen(tiny, np.random.default_rng(0), seen=everything - {last})
        assert found is not None
        assert found.key == last
    assert unseen(tiny, np.random.default_rng(0), seen=everything) is None


def test_a_large_space_is_not_listed() -> None:
    class Everything(set[str]):
        def __contains__(self, key: object) -> bool:
            return True

    space = load_search_space("nasrec-small")
    assert unseen(space, np.random.default_rng(0), seen=Everything()) is None
