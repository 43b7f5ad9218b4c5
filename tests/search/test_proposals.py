from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from nasrec_automl.search import ArchitectureRandomSampler, distributions, proposals, propose
from nasrec_automl.search.mirror import Mirror
from nasrec_automl.search.proposals import unseen
from nasrec_automl.space import SearchSpace, load_search_space

SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=0),
    "quasi-random": lambda: QMCSampler(seed=0, warn_independent_sampling=False),
    "tpe": lambda: TPESampler(seed=0, n_startup_trials=4),
    "tpe, univariate": lambda: TPESampler(seed=0, n_startup_trials=4, multivariate=False, constant_liar=False),
    "nsga-ii": lambda: NSGAIISampler(seed=0, population_size=4),
    "nsga-iii": lambda: NSGAIIISampler(seed=0, population_size=4),
    "ours": lambda: ArchitectureRandomSampler(SPACE),
}
SPACE = SearchSpace(
    name="one-block",
    blocks=1,
    dense_ops=("fc", "dot_product"),
    sparse_ops=("efc",),
    dense_dims=(16, 32, 64),
    sparse_dims=(16, 32),
)


def add(study: optuna.Study, params: Mapping[str, object], *values: float) -> None:
    study.add_trial(optuna.create_trial(params=dict(params), distributions=dict(distributions(SPACE)), values=values))


@pytest.mark.parametrize("name", SAMPLERS)
def test_any_sampler_proposes_new_architectures_and_writes_nothing(name: str) -> None:
    study, sampler = optuna.create_study(), SAMPLERS[name]()
    mirror, seen = Mirror(study), set[str]()
    for value in range(12):
        found = propose(sampler, study, SPACE, seen=seen, mirror=mirror)
        assert found is not None
        assert found.key not in seen
        assert len(study.get_trials()) == value
        seen.add(found.key)
        add(study, found.params, float(value))


def test_a_sampler_that_finds_nothing_new_falls_back_by_its_own_seed() -> None:
    class Seen:
        """Keys of which a sampler knows all, and the fall-back none."""

        asked = 0

        def __contains__(self, key: object) -> bool:
            self.asked += 1
            return self.asked <= proposals._SAMPLES

        def __len__(self) -> int:
            return 3

    def found(seed: int) -> str:
        study = optuna.create_study()
        architecture = propose(RandomSampler(seed=seed), study, load_search_space("nasrec-small"), seen=Seen())
        assert architecture is not None
        return architecture.key

    assert found(1) == found(1)
    assert len({found(seed) for seed in range(4)}) == 4


def test_without_a_mirror_a_sampler_sees_the_study_too() -> None:
    class BestAgain(RandomSampler):
        def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, _: object) -> object:
            return study.best_trial.params[name]

    study = optuna.create_study()
    architectures = [SPACE.random(np.random.default_rng(seed)) for seed in range(3)]
    for value, architecture in zip((2.0, 1.0, 3.0), architectures, strict=True):
        add(study, architecture.params, value)
    assert propose(BestAgain(), study, SPACE, seen=set()) == architectures[1]


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
