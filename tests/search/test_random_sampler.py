from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import TrialState

from nasrec_automl.errors import StudyError
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.search import ArchitectureRandomSampler, distributions
from nasrec_automl.space import SearchSpace, load_search_space


class TestOptunasContract(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """Parameters beside the space's labels are drawn uniformly, for any number of objectives.

    `RelativeSamplerTestCase` hands other parameters to `sample_relative` than `infer_relative_search_space`
    returned, which Optuna never does. `SingleOnlySamplerTestCase` is for samplers of one objective.
    """

    @pytest.fixture
    def sampler(self, tiny: SearchSpace) -> Callable[[], BaseSampler]:
        return lambda: ArchitectureRandomSampler(tiny)


def sizes(sampler: BaseSampler, count: int) -> Counter[int]:
    """How many inputs the last block reads."""
    study = optuna.create_study(sampler=sampler)
    label = "block7/dense_inputs"
    choices = load_search_space("nasrec-small").labels[label]
    found = (study.ask().suggest_categorical(label, choices) for _ in range(count))
    return Counter(str(inputs).count("+") + 1 for inputs in found)


def test_the_number_of_inputs_has_the_methods_distribution() -> None:
    space = load_search_space("nasrec-small")
    binomial = sizes(ArchitectureRandomSampler(space), 800)
    for size, expected in zip((1, 2, 3, 4), (100, 300, 300, 100), strict=True):
        assert abs(binomial[size] - expected) < 60
    # Optuna's own sampler draws out of all sets: 35 of the 98 have four inputs, 7 have one.
    optunas = sizes(optuna.samplers.RandomSampler(seed=0), 800)
    assert optunas[4] > 220 > 100 > optunas[1]


def test_equal_seeds_and_studies_give_equal_proposals(space: SearchSpace) -> None:
    def proposals(seed: int) -> list[str]:
        study = optuna.create_study()
        found = []
        for _ in range(4):
            study.add_trial(optuna.create_trial(state=TrialState.FAIL))  # A retry changes nothing.
            proposal = ArchitectureRandomSampler(space, seed=seed).propose(study, seen=set())
            assert proposal is not None
            study.add_trial(optuna.create_trial(params=proposal.params, distributions=distributions(space), value=0))
            found.append(proposal.key)
        return found

    assert proposals(1) == proposals(1)
    assert not set(proposals(1)) & set(proposals(2))
    assert len(set(proposals(1))) == 4


@pytest.mark.parametrize("seed", [0, 5])
def test_proposals_are_none_of_the_paths_that_the_supernet_was_trained_on(seed: int) -> None:
    space, study = load_search_space("nasrec-small"), optuna.create_study()
    warm_up = WarmUp(path_sampler("single-operator", space), steps=0, seed=seed)
    trained = {warm_up.path(step) for step in range(30)}
    sampler = ArchitectureRandomSampler(space, seed=seed)
    for _ in range(5):
        proposal = sampler.propose(study, seen=set())
        assert proposal is not None
        assert proposal.path not in trained
        study.add_trial(optuna.create_trial(params=proposal.params, distributions=distributions(space), value=0))


def test_proposals_are_new_until_the_space_is_used_up(tiny: SearchSpace) -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    seen: set[str] = set()
    while (found := ArchitectureRandomSampler(tiny).propose(study, seen=seen)) is not None:
        assert found.key not in seen
        seen.add(found.key)
    assert len(seen) == len({tiny.random(np.random.default_rng(i)).key for i in range(400)}) == 16


def test_a_negative_seed_is_refused(tiny: SearchSpace) -> None:
    with pytest.raises(StudyError, match="seed"):
        ArchitectureRandomSampler(tiny, seed=-1)
