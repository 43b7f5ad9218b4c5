import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.nni_plugin.mutables import from_sample, mutables
from nasrec_automl.nni_plugin.nas import Categorical
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.strategies import search_spaces, spaces_and_architectures

FULL = load_search_space("nasrec-full")


@given(search_spaces())
def test_labels_and_choices_are_the_spaces(space: SearchSpace) -> None:
    made = mutables(space)
    assert all(isinstance(mutable, Categorical) for mutable in made)
    assert {mutable.label: tuple(mutable.values) for mutable in made} == space.labels
    assert [mutable.label for mutable in made] == list(space.labels)


@pytest.mark.parametrize("number", [2, 3, 5, 7])
@pytest.mark.parametrize("key", ["dense_inputs", "sparse_inputs"])
def test_nnis_random_draws_the_methods_number_of_inputs(number: int, key: str) -> None:
    mutable = next(m for m in mutables(FULL) if m.label == f"block{number}/{key}")
    state = np.random.RandomState(0)
    drawn = Counter(mutable.random(random_state=state) for _ in range(2000))
    by_size = Counter()
    for value, count in drawn.items():
        by_size[value.count("+") + 1] += count
    most = min(4, number)
    expected = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}[most]
    expected = np.array(expected) / sum(expected) * 2000
    assert chisquare([by_size[size] for size in range(1, most + 1)], expected).pvalue > 0.001
    # Sets of one size are equally likely.
    pairs = [count for value, count in drawn.items() if value.count("+") == 1]
    assert len(pairs) == math.comb(number, 2)
    assert number == 2 or chisquare(pairs).pvalue > 0.001


def test_sets_of_one_size_share_its_weight() -> None:
    mutable = next(m for m in mutables(FULL) if m.label == "block4/dense_inputs")
    weights = dict(zip(mutable.values, mutable.weights, strict=True))
    assert sum(weights.values()) == pytest.approx(1.0)
    assert [weights[value] for value in ("s0", "s0+s1", "s0+s1+s2", "s0+s1+s2+s3")] == [1 / 32, 3 / 48, 3 / 32, 1 / 8]


@given(spaces_and_architectures())
def test_samples_become_architectures(architecture: Architecture) -> None:
    sample = {**architecture.params, "learning_rate": 0.1}
    assert from_sample(architecture.space, sample) == architecture


def test_a_sample_that_lacks_a_label_is_named() -> None:
    params = dict(tiny_space().random(np.random.default_rng(0)).params)
    del params["block2/fm"]
    with pytest.raises(ArchitectureError, match="block2/fm"):
        from_sample(tiny_space(), params)
