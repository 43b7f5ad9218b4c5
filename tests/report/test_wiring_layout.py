import itertools

import numpy as np
import pytest

from nasrec_automl import load_search_space
from nasrec_automl.report.wiring_layout import BOX_HEIGHT, Layout


@pytest.fixture(params=range(10))
def layout(request):
    return Layout(load_search_space("nasrec-full").random(np.random.default_rng(request.param)))


def test_columns_do_not_touch(layout):
    assert all(left.out < right.left for left, right in itertools.pairwise(layout.columns))
    assert layout.columns[-1].right < layout.width


def test_ports_lie_inside_their_boxes_with_room_for_labels(layout):
    for (_, block), edges in layout.into.items():
        column = layout.columns[block]
        ports = layout.ports(column, edges)
        assert all(column.left < x < column.right for x in ports)
        assert all(b - a >= 18 for a, b in itertools.pairwise(ports))


def test_rails_are_apart_outside_the_boxes_and_earlier_ones_further_out(layout):
    dense = [layout.rail("dense", source) for source in layout.rails["dense"]]
    sparse = [layout.rail("sparse", source) for source in layout.rails["sparse"]]
    assert all(b - a >= 12 for a, b in itertools.pairwise(dense))
    assert all(a - b >= 12 for a, b in itertools.pairwise(sparse))
    assert all(0 < y < layout.dense_top for y in dense)
    assert all(layout.sparse_top + BOX_HEIGHT < y < layout.height for y in sparse)


def test_a_rail_reaches_its_last_reader_and_starts_before_it(layout):
    for lane, sources in layout.rails.items():
        for source in sources:
            readers = [edge.block for edge in layout.edges if edge.lane == lane and edge.source == source]
            last = layout.columns[max(readers)]
            assert layout.columns[source].out < last.left < layout.rail_end(lane, source) < last.right
