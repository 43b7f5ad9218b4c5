from __future__ import annotations

import itertools

from nasrec_automl.randomness import rng_for, seed_for

STREAMS = [
    ("path", 3),
    ("path", 3, 0),
    ("path", 0, 3),
    ("path", 30),
    ("path", -3),
    ("path 3",),
    ("sample", 3),
    ("sample", 2**80),
    ("3:path",),
]


def test_equal_purposes_and_numbers_give_equal_draws() -> None:
    for purpose, *numbers in STREAMS:
        one, other = (rng_for(purpose, *numbers) for _ in range(2))
        assert one.integers(2**62, size=5).tolist() == other.integers(2**62, size=5).tolist()


def test_any_other_purpose_or_number_is_another_stream() -> None:
    drawn = {tuple(rng_for(purpose, *numbers).integers(2**62, size=2).tolist()) for purpose, *numbers in STREAMS}
    assert len(drawn) == len(STREAMS)
    assert len({seed_for(purpose, *numbers) for purpose, *numbers in STREAMS}) == len(STREAMS)


def test_seeds_are_spread_over_all_that_optuna_takes() -> None:
    seeds = [seed_for("sampler", *numbers) for numbers in itertools.product(range(20), range(20))]
    assert len({*seeds}) == 400
    assert 0 <= min(seeds) < 2**28
    assert 2**32 - 2**28 < max(seeds) < 2**32
