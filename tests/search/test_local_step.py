from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nasrec_automl.search.local_step import step_from

RANGES: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "width": IntDistribution(8, 32, step=8),
    "rows": IntDistribution(4, 4096, log=True),
    "norm": CategoricalDistribution((False, True)),
    "one": IntDistribution(8, 8),
}
GOOD = {"rate": 0.1, "dropout": 0.3, "width": 16, "rows": 128, "norm": True, "one": 8}


def steps(params: dict[str, Any], count: int = 400) -> list[dict[str, Any]]:
    return [step_from(params, RANGES, np.random.default_rng(seed)) for seed in range(count)]


@given(
    seed=st.integers(0, 2**32),
    rate=st.floats(1e-4, 10),
    dropout=st.floats(0, 0.6),
    width=st.sampled_from([8, 16, 24, 32]),
    rows=st.integers(4, 4096),
    norm=st.booleans(),
)
def test_a_step_stays_within_its_ranges(seed: int, **params: Any) -> None:
    found = step_from({**params, "one": 8}, RANGES, np.random.default_rng(seed))
    assert found.keys() == RANGES.keys()
    for name, value in found.items():
        distribution = RANGES[name]
        assert distribution._contains(distribution.to_internal_repr(value)), (name, value)
        assert type(value) is type(GOOD[name])


def test_steps_are_small_and_go_both_ways() -> None:
    decades = [math.log10(found["rate"] / 0.1) for found in steps(GOOD)]
    assert np.std(decades) == pytest.approx(0.1 * 3, rel=0.2)
    assert abs(np.mean(decades)) < 0.05
    assert np.mean([found["width"] != 16 for found in steps(GOOD)]) > 0.2, "coarse whole numbers move too"
    assert np.mean([found["rows"] < 128 for found in steps(GOOD)]) == pytest.approx(0.5, abs=0.1)
    assert np.std([found["dropout"] for found in steps(GOOD)]) == pytest.approx(0.1 * 0.6, rel=0.2)


def test_a_step_from_an_end_of_a_range_leaves_it() -> None:
    assert all(0 < found["dropout"] < 0.3 for found in steps({**GOOD, "dropout": 0.0}))


def test_choices_are_mostly_kept() -> None:
    changed = np.mean([not found["norm"] for found in steps(GOOD)])
    assert changed == pytest.approx(1 / len(RANGES) / 2, abs=0.05)


def test_the_same_draws_give_the_same_step() -> None:
    first, second, other = (step_from(GOOD, RANGES, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != other
