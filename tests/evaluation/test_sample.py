import numpy as np
import pytest

from nasrec_automl.cost import profile
from nasrec_automl.evaluation.sample import one_of_each_size
from nasrec_automl.randomness import rng_for
from nasrec_automl.testing.examples import tiny_schema, tiny_space


def test_every_size_has_one_and_the_seed_decides_which() -> None:
    space, schema = tiny_space(), tiny_schema()
    found = one_of_each_size(space, schema, 20, seed=3)
    macs = [profile(one, schema).macs for one in found]
    assert macs == sorted(macs)
    rng = np.random.default_rng(9)
    drawn = sorted(profile(space.random(rng), schema).macs for _ in range(2000))
    # Quarters of the sample lie where those of the space do.
    for share in (25, 50, 75):
        assert abs(np.searchsorted(drawn, np.percentile(macs, share)) / 20 - share) < 10
    assert found == one_of_each_size(space, schema, 20, seed=3)
    assert found != one_of_each_size(space, schema, 20, seed=4)


@pytest.mark.parametrize("count", [24, 667, 2000])
def test_the_largest_sizes_are_drawn_too(count: int) -> None:
    space, schema = tiny_space(), tiny_schema()
    rng = rng_for("architectures of all sizes", 5)
    drawn = sorted(profile(space.random(rng), schema).macs for _ in range(2000))
    found = [profile(one, schema).macs for one in one_of_each_size(space, schema, count, seed=5)]
    assert len(found) == count
    # The last one is of the last group.
    assert found[-1] >= drawn[(count - 1) * 2000 // count]
    assert found[0] <= drawn[2000 // count]
