import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasrec_automl.data.joined import Joined


def arrays_of(sizes: list[int], width: tuple[int, ...]) -> list[NDArray[np.int16]]:
    whole = np.arange(sum(sizes) * int(np.prod(width)), dtype=np.int16).reshape(-1, *width)
    return np.split(whole, np.cumsum(sizes)[:-1])


bound = st.none() | st.integers(-25, 25)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=2, max_size=5),
    width=st.sampled_from([(), (1,), (3,)]),
    start=bound,
    stop=bound,
    step=st.none() | st.integers(-4, 4).filter(bool),
    data=st.data(),
)
def test_it_reads_like_one_array(
    sizes: list[int],
    width: tuple[int, ...],
    start: int | None,
    stop: int | None,
    step: int | None,
    data: st.DataObject,
) -> None:
    arrays = arrays_of(sizes, width)
    whole, joined = np.concatenate(arrays), Joined(arrays)
    assert (len(joined), joined.shape, joined.dtype) == (len(whole), whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.asarray(joined), whole)
    assert np.asarray(joined, dtype=np.float64).dtype == np.float64
    some = slice(start, stop, step)
    np.testing.assert_array_equal(joined[some], whole[some])
    assert joined[some].dtype == whole.dtype
    rows = st.lists(st.integers(-len(whole), len(whole) - 1), max_size=9) if len(whole) else st.just([])
    index = np.array(data.draw(rows), dtype=np.int64)
    np.testing.assert_array_equal(joined[index], whole[index])
    np.testing.assert_array_equal(joined[index.tolist()], whole[index])
    np.testing.assert_array_equal(joined.take(index % max(1, len(whole))), whole[index])
    mask = np.isin(np.arange(len(whole)), index)
    np.testing.assert_array_equal(joined[mask], whole[mask])
    assert [row.tolist() for row in joined] == whole.tolist()


@pytest.mark.parametrize("index", [slice(0, 2), slice(1, 6), slice(3, 3), np.array([0, 5])])
def test_what_is_read_is_a_copy(index: slice | NDArray[np.int64]) -> None:
    joined = Joined(arrays_of([4, 4], (2,)))
    joined[index][:] = -1
    assert (np.asarray(joined) >= 0).all()


@pytest.mark.parametrize("index", [8, -9, [0, 8], [-9], np.zeros(7, dtype=bool)])
def test_what_is_not_there_is_an_error(index: object) -> None:
    with pytest.raises(IndexError):
        Joined(arrays_of([4, 4], (2,)))[index]


def test_a_single_array_stays_and_joined_ones_are_joined_flat() -> None:
    first, second, third = arrays_of([2, 3, 1], (2,))
    assert Joined.of([first]) is first
    both = Joined.of([first, second])
    assert isinstance(both, Joined)
    whole = Joined.of([third, both])
    assert isinstance(whole, Joined)
    assert [id(array) for array in whole.arrays] == [id(third), id(first), id(second)]
    np.testing.assert_array_equal(whole, np.concatenate([third, first, second]))
