"""NASRec's labels as NNI mutables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nasrec_automl.architecture import Architecture, ParameterValue
from nasrec_automl.nni_plugin.nas import Categorical, label_scope
from nasrec_automl.space import INPUT_KEYS, SearchSpace, split_sources


def mutables(space: SearchSpace) -> list[Categorical]:
    """One `Categorical` per label of the space, in its order.

    Sets of inputs carry weights, so that NNI's random sampling follows the method's own number of inputs,
    1 + Binomial(min(n - 1, cap - 1), 0.5), instead of favouring large sets.
    """
    made = []
    for label, choices in space.labels.items():
        block, key = label.split("/")
        weights = _input_weights(choices) if key in INPUT_KEYS else None
        with label_scope(block):  # NNI allows no `/` in a name of its own
            made.append(Categorical(choices, weights=weights, label=key))
    return made


def from_sample(space: SearchSpace, sample: Mapping[str, Any]) -> Architecture:
    """The architecture of an NNI sample, which may also hold labels of the user's own."""
    return space.from_params({label: sample[label] for label in space.labels if label in sample})


def _input_weights(choices: Sequence[ParameterValue]) -> list[float]:
    sizes = [len(split_sources(str(choice))) for choice in choices]
    most, of_size = max(sizes), Counter(sizes)
    return [math.comb(most - 1, size - 1) / 2 ** (most - 1) / of_size[size] for size in sizes]
