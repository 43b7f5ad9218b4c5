import pickle

import numpy as np
import pytest
import torch

from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError


def make(n: int, weight: list[float] | None = None) -> Rows:
    return Rows(
        dense=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        ids=np.arange(3 * n, dtype=np.uint16).reshape(n, 3),
        label=(np.arange(n) % 2).astype(np.uint8),
        weight=None if weight is None else np.array(weight),
    )


@pytest.mark.parametrize("index", [slice(1, 4), [1, 2, 3], np.array([1, 2, 3])])
def test_a_batch_is_tensors_of_the_types_a_network_reads(index: slice | list[int]) -> None:
    dense, ids, label = make(5).batch(index)
    assert (dense.dtype, ids.dtype, label.dtype) == (torch.float32, torch.int64, torch.float32)
    assert dense.tolist() == [[2, 3], [4, 5], [6, 7]]
    assert ids.tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert label.tolist() == [1, 0, 1]


def test_writing_into_a_batch_leaves_the_rows() -> None:
    rows = make(5)
    for index in (slice(0, 2), [0, 1]):
        rows.batch(index)[0].zero_()
    assert rows.dense[1].tolist() == [2, 3]


def test_concatenate_keeps_order_and_a_single_part() -> None:
    first, second = make(2), make(3)
    joined = Rows.concatenate([second, first])
    assert len(joined) == 5
    assert joined.dense[3:].tolist() == first.dense.tolist()
    assert Rows.concatenate([first]) is first


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="have 5, 4 and 5"):
        Rows(make(5).dense, make(4).ids, make(5).label)


@pytest.mark.parametrize("index", [slice(1, 3), [1, 2]])
def test_weights_are_a_batchs_fourth_part(index: slice | list[int]) -> None:
    *_, label, weight = make(4, [1, 0.5, 3, 0]).batch(index)
    assert (label.dtype, weight.dtype) == (torch.float32, torch.float32)
    assert weight.tolist() == [0.5, 3]


def test_weights_go_along_with_their_rows() -> None:
    rows = make(6, [0, 1, 2, 3, 4, 5])
    chosen = rows.take([4, 1])
    assert chosen.ids[:, 0].tolist() == [12, 3]
    assert chosen.weight is not None
    assert np.asarray(chosen.weight).tolist() == [4, 1]
    drawn = rows.sample(3, seed=0)
    assert drawn.weight is not None
    assert drawn.weight.tolist() == (drawn.ids[:, 0] / 3).tolist()
    joined = Rows.concatenate([chosen, drawn])
    assert joined.weight is not None
    assert np.asarray(joined.weight).tolist() == [4, 1, *drawn.weight]


def test_rows_without_weights_stay_without() -> None:
    assert Rows.concatenate([make(2), make(3).sample(2, seed=0)]).weight is None


def test_rows_with_and_without_weights_are_not_joined() -> None:
    with pytest.raises(DataError, match="1 of 2 sets of rows to join have weights"):
        Rows.concatenate([make(2), make(2, [1, 2])])


def test_every_row_has_a_weight() -> None:
    with pytest.raises(DataError, match="3 rows must have as many weights, but have 2"):
        make(3, [1, 2])


def test_a_pickle_has_the_arrays() -> None:
    rows = make(4, [1, 0.5, 3, 0])
    again = pickle.loads(pickle.dumps(rows))
    for name in ("dense", "ids", "label", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
