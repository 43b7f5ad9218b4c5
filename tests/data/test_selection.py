import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.selection import values_at

numbers = st.floats(allow_nan=False) | st.integers(-3, 3).map(float) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324])


@settings(deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=40), sizes=st.lists(st.integers(0, 9), max_size=5), data=st.data())
def test_values_are_those_of_the_sorted_array(values: list[float], sizes: list[int], data: st.DataObject) -> None:
    array = np.array(values)
    pieces = np.split(array, np.minimum(np.cumsum(sizes), len(array)).astype(int))
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=4))
    assert values_at(ranks, lambda: pieces) == np.sort(array)[ranks].tolist()
    np.testing.assert_array_equal(np.concatenate(pieces), values)  # none was changed


def test_moments_a_microsecond_apart_are_told_apart() -> None:
    values = 1.7e9 + np.random.default_rng(0).permutation(100_000) / 1e6
    ranks = [0, 1, 49_999, 99_998, 99_999]
    assert values_at(ranks, lambda: np.array_split(values, 7)) == np.sort(values)[ranks].tolist()
