"""Ranks of domination against their definition."""

from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.pareto import domination_ranks, front_order

POINTS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 6)] * width), max_size=40)  # small numbers: many ties
)


def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(POINTS)
def test_the_front_is_exactly_what_nothing_dominates(points: list[tuple[int, ...]]) -> None:
    ranks = domination_ranks(points)
    front = [point for point, rank in zip(points, ranks, strict=True) if rank == 0]
    for point, rank in zip(points, ranks, strict=True):
        dominated = any(dominates(other, point) for other in front)
        assert dominated == (rank > 0)
        assert dominated == any(dominates(other, point) for other in points)


@given(POINTS)
def test_each_rank_is_the_front_of_what_the_ranks_before_leave(points: list[tuple[int, ...]]) -> None:
    ranks = domination_ranks(points)
    for point, rank in zip(points, ranks, strict=True):
        left = [other for other, its in zip(points, ranks, strict=True) if its >= rank]
        assert not any(dominates(other, point) for other in left)
        assert rank == 0 or any(
            dominates(other, point) for other, its in zip(points, ranks, strict=True) if its == rank - 1
        )


@given(POINTS)
def test_the_order_goes_by_front_then_by_first_value_then_as_points_come(points: list[tuple[int, ...]]) -> None:
    ranks = domination_ranks(points)
    expected = sorted(range(len(points)), key=lambda i: (ranks[i], points[i][0], i))
    assert front_order(points) == expected


def test_one_value_ranks_as_it_is_ordered() -> None:
    assert domination_ranks([(3.0,), (1.0,), (2.0,), (1.0,)]) == [2, 0, 1, 0]
    assert domination_ranks([]) == []
